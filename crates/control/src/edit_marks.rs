//! What requests about rules that mark packets, and about sets, do to a copy of the desired state.

use api::{Error, ErrorCode, MarkSpec, Request, SetSpec};

use crate::config::Config;
use crate::edit::not_found;

/// Edits `config` as a request wishes; the request itself if it is about something else.
pub fn edit_marks(config: &mut Config, request: Request) -> Result<Option<Request>, Error> {
    match request {
        // A second one of the same is for the check to find.
        Request::MarkAdd { mark } => config.marks.push(mark),
        Request::MarkDelete { mark } => delete_mark(config, &mark)?,
        Request::MarkFlush => config.marks.clear(),
        Request::SetAdd { set } => add_members(config, set)?,
        Request::SetDelete { set } => delete_members(config, &set)?,
        Request::SetFlush { name } => delete_set(config, &name)?,
        other => return Ok(Some(other)),
    }
    Ok(None)
}

fn delete_mark(config: &mut Config, mark: &MarkSpec) -> Result<(), Error> {
    let index = config.marks.iter().position(|m| m == mark);
    config.marks.remove(index.ok_or_else(|| not_found(format!("mark {mark}")))?);
    Ok(())
}

fn add_members(config: &mut Config, set: SetSpec) -> Result<(), Error> {
    if !crate::config::is_name(&set.name) {
        let message = format!("found {:?}, expected {}", set.name, crate::config::NAME);
        return Err(Error::new(ErrorCode::Invalid, message).about("ipset"));
    }
    match config.sets.iter_mut().find(|s| s.name == set.name) {
        Some(known) => known.members.extend(set.members),
        None => config.sets.push(set),
    }
    Ok(())
}

fn delete_members(config: &mut Config, set: &SetSpec) -> Result<(), Error> {
    let name = &set.name;
    let known = config.sets.iter_mut().find(|s| s.name == *name);
    let known = known.ok_or_else(|| not_found(format!("ipset {name}")))?;
    for member in &set.members {
        let index = known.members.iter().position(|m| m == member);
        known.members.remove(index.ok_or_else(|| not_found(format!("{member} in ipset {name}")))?);
    }
    Ok(())
}

fn delete_set(config: &mut Config, name: &str) -> Result<(), Error> {
    let index = config.sets.iter().position(|s| s.name == name);
    let index = index.ok_or_else(|| not_found(format!("ipset {name}")))?;
    let named = |set: &Option<String>| set.as_deref() == Some(name);
    if let Some(mark) = config.marks.iter().find(|m| named(&m.source_set) || named(&m.destination_set)) {
        let message = format!("ipset {name} is used by mark {mark}");
        return Err(Error::new(ErrorCode::InUse, message).about(format!("ipset {name}")));
    }
    config.sets.remove(index);
    Ok(())
}
