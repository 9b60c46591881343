//! Which keys a slot is found by, and how that changes: all or nothing.
//!
//! Any change is made in two steps. First everything that can fail: the original key must be free, and new keys need
//! room in their buckets. Then what cannot: old keys go, and a reply key that others have joins them. Only the newest
//! of those is in the index; the rest wait behind it in a list, so that however many there are they fill no bucket.

use crate::bucket::Item;
use crate::hash::{EntryHashes, Hash};
use crate::slab::{ConnId, Entry, NONE, Peers, Slot, State};
use crate::table::{ConnTable, InsertError};
use crate::{Direction, Key};

/// A connection's keys, those that it is indexed by.
#[derive(Clone, Copy)]
pub(crate) struct Keys<K> {
    original: Option<K>,
    reply: Option<K>,
}

impl<K: Key> Keys<K> {
    pub(crate) fn of<E: Entry<Key = K>>(entry: &E) -> Keys<K> {
        Keys {
            original: entry.key(Direction::Original).copied(),
            reply: entry.key(Direction::Reply).copied(),
        }
    }

    #[inline]
    fn get(&self, direction: Direction) -> Option<&K> {
        match direction {
            Direction::Original => self.original.as_ref(),
            Direction::Reply => self.reply.as_ref(),
        }
    }

    /// Whether a packet with the original key could be taken for a reply.
    fn is_own_reply(&self) -> bool {
        self.original.is_some() && self.original == self.reply
    }

    /// The key of `direction`, if it is another than in `than`.
    #[inline]
    fn changed(&self, than: &Keys<K>, direction: Direction) -> Option<&K> {
        self.get(direction).filter(|&key| than.get(direction) != Some(key))
    }
}

impl<E: Entry> ConnTable<E> {
    /// Gives a connection other content and keys; its id, expiry and place in listings stay. On an error nothing has
    /// changed. `Ok(false)` if the connection is gone.
    pub fn rekey(&mut self, id: ConnId, entry: E) -> Result<bool, InsertError> {
        let Some(at) = self.slab.live_index(id) else { return Ok(false) };
        let (old, new) = (self.indexed_keys(at), Keys::of(&entry));
        let hashed = |direction| new.changed(&old, direction).map(|key| (key, self.hash(key)));
        let holder = self.place_keys(at, Direction::BOTH.map(hashed))?;
        self.crossed |= new.is_own_reply();
        self.settle_keys(at, &old, &new, holder);
        self.slab.slot_mut(at).entry = entry;
        Ok(true)
    }

    /// Lets a connection be found by its reply key again, as the newest with it. `Ok(false)` if the connection is gone.
    pub fn index_reply(&mut self, id: ConnId) -> Result<bool, InsertError> {
        self.get(id).copied().map_or(Ok(false), |entry| self.rekey(id, entry))
    }

    /// Lets a connection no longer be found by its reply key. `false` if the connection is gone.
    pub fn unindex_reply(&mut self, id: ConnId) -> bool {
        let Some(at) = self.slab.live_index(id) else { return false };
        let old = self.indexed_keys(at);
        self.settle_keys(at, &old, &Keys { reply: None, ..old }, None);
        true
    }

    /// The keys that a slot is found by now.
    fn indexed_keys(&self, at: u32) -> Keys<E::Key> {
        let slot = self.slab.slot(at);
        let key = |direction| {
            slot.entry.key(direction).filter(|_| slot.link.state.has(State::indexed(direction))).copied()
        };
        Keys { original: key(Direction::Original), reply: key(Direction::Reply) }
    }

    /// Indexes a slot that was free by the keys of what is to come into it. Gives its bits, and the connection that has
    /// the reply key already, if one does. On an error nothing has changed.
    #[inline]
    pub(crate) fn place_entry(
        &mut self,
        at: u32,
        entry: &E,
        hashes: EntryHashes,
    ) -> Result<(State, Option<u32>), InsertError> {
        let keys = Direction::BOTH.map(|direction| entry.key(direction));
        let hashed = Direction::BOTH.map(|direction| Some((keys[direction as usize]?, hashes.of(direction))));
        let holder = self.place_keys(at, hashed)?;
        self.crossed |= keys[0].is_some() && keys[0] == keys[1];
        let mut state = State::LIVE;
        for direction in Direction::BOTH.into_iter().filter(|&direction| keys[direction as usize].is_some()) {
            state.set(State::indexed(direction));
        }
        Ok((state, holder))
    }

    /// Takes a slot out of the index.
    #[inline]
    pub(crate) fn unplace_entry(&mut self, at: u32) {
        let Slot { entry, link } = self.slab.slot(at);
        let state = link.state;
        let hashes = self.hash_entry(entry);
        for direction in Direction::BOTH.into_iter().filter(|&direction| state.has(State::indexed(direction)))
        {
            self.drop_key(at, direction, hashes.of(direction));
        }
    }

    /// Finds room for keys, the original and the reply key, where given, that this slot is not indexed by. Gives the
    /// connection that has the reply key already, if one does: that one's place is used. On an error nothing has changed.
    #[inline(always)]
    fn place_keys(
        &mut self,
        at: u32,
        [original, reply]: [Option<(&E::Key, Hash)>; 2],
    ) -> Result<Option<u32>, InsertError> {
        let original = original.map(|(key, hash)| (hash, self.held(key, hash)));
        if let Some((_, [Some(holder), _])) = original {
            return Err(InsertError::Exists(self.slab.id(holder)));
        }
        let reply = reply.map(|(key, hash)| (hash, self.held(key, hash)));
        if let Some((hash, _)) = original {
            self.place(hash, Item::new(at, Direction::Original))?;
        }
        if let Some((hash, [_, None])) = reply
            && let Err(refused) = self.place(hash, Item::new(at, Direction::Reply))
        {
            if let Some((hash, _)) = original {
                self.index.unplace(hash, Item::new(at, Direction::Original));
            }
            return Err(refused);
        }
        self.crossed |=
            matches!(original, Some((_, [_, Some(_)]))) || matches!(reply, Some((_, [Some(_), _])));
        Ok(reply.and_then(|(_, [_, holder])| holder))
    }

    /// Drops those keys of `old` that are not in `new`, and lets a reply key that `holder` has be shared with it.
    /// The slot's entry still has, or does not matter for, the old keys.
    fn settle_keys(&mut self, at: u32, old: &Keys<E::Key>, new: &Keys<E::Key>, holder: Option<u32>) {
        for direction in Direction::BOTH {
            if let Some(key) = old.changed(new, direction) {
                self.drop_key(at, direction, self.hash(key));
            }
            let state = &mut self.slab.slot_mut(at).link.state;
            match new.get(direction) {
                Some(_) => state.set(State::indexed(direction)),
                None => state.clear(State::indexed(direction)),
            }
        }
        if let (Some(key), Some(holder)) = (new.get(Direction::Reply), holder) {
            self.join_peers(at, holder, self.hash(key));
        }
    }

    /// Who has a key in each direction.
    #[inline(always)]
    fn held(&self, key: &E::Key, hash: Hash) -> [Option<u32>; 2] {
        let mut holders = [None; 2];
        self.index.find(hash, |item| {
            if self.slab.has_key(item, key) {
                holders[item.direction() as usize] = Some(item.slot());
            }
            false
        });
        holders
    }

    #[inline(always)]
    fn place(&mut self, hash: Hash, item: Item) -> Result<(), InsertError> {
        if self.index.place(hash, item) {
            return Ok(());
        }
        self.refused_buckets_full += 1;
        Err(InsertError::BucketsFull)
    }

    #[inline(always)]
    fn drop_key(&mut self, at: u32, direction: Direction, hash: Hash) {
        if direction == Direction::Reply && self.slab.slot(at).link.state.has(State::SHARED) {
            self.leave_peers(at, hash);
        } else {
            let found = self.index.unplace(hash, Item::new(at, direction));
            debug_assert!(found, "a key was changed in place");
        }
    }

    /// Puts `at` in front of `holder`, which answered for the reply key with this hash until now.
    pub(crate) fn join_peers(&mut self, at: u32, holder: u32, hash: Hash) {
        let found =
            self.index.replace(hash, Item::new(holder, Direction::Reply), Item::new(at, Direction::Reply));
        debug_assert!(found, "the holder was found by this key");
        self.slab.peers[at as usize] = Peers { newer: NONE, older: holder };
        self.slab.peers[holder as usize].newer = at;
        self.slab.slot_mut(at).link.state.set(State::SHARED);
        let state = &mut self.slab.slot_mut(holder).link.state;
        state.set(State::SHARED);
        state.set(State::SHADOWED);
    }

    /// Takes `at` out from among the connections with its reply key. If it answered, the next older one does.
    fn leave_peers(&mut self, at: u32, hash: Hash) {
        let peers = std::mem::replace(&mut self.slab.peers[at as usize], Peers { newer: NONE, older: NONE });
        let state = &mut self.slab.slot_mut(at).link.state;
        state.clear(State::SHARED);
        state.clear(State::SHADOWED);
        if peers.newer == NONE {
            let (this, next) = (Item::new(at, Direction::Reply), Item::new(peers.older, Direction::Reply));
            let found = self.index.replace(hash, this, next);
            debug_assert!(found, "a key was changed in place");
            self.slab.slot_mut(peers.older).link.state.clear(State::SHADOWED);
        } else {
            self.slab.peers[peers.newer as usize].older = peers.older;
        }
        if peers.older != NONE {
            self.slab.peers[peers.older as usize].newer = peers.newer;
        }
        for peer in [peers.newer, peers.older] {
            if peer != NONE && self.slab.peers[peer as usize].is_alone() {
                self.slab.slot_mut(peer).link.state.clear(State::SHARED);
            }
        }
    }
}
