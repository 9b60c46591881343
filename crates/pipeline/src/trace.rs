//! What an operator sees of packets on their way through a worker ([`ipvs::trace`]).

use ipvs::trace::{Buffer, Headers, Step};
use ipvs::{Verdict, WorkerId};
use wire::PacketBuf;
use wire::parse::{Parsed, parse};

use crate::pipeline::Pipeline;

impl<B: PacketBuf> Pipeline<B> {
    /// Goes on with another buffer for a trace, or ends it; what was kept until now.
    pub fn trace(&mut self, buffer: Option<Box<Buffer>>) -> Option<Box<Buffer>> {
        self.director.tracer().swap(buffer)
    }

    /// The mark that rules gave a packet, if they gave it one.
    pub(crate) fn trace_mark(&mut self, mark: u32) {
        if mark != 0 {
            self.director.tracer().step(Step::Marked(mark));
        }
    }

    /// The steps of a packet that goes to another worker.
    pub(crate) fn trace_steered(&mut self, owner: WorkerId) {
        let tracer = self.director.tracer();
        tracer.step(Step::Steered(owner));
        tracer.ends();
    }

    /// The last steps of a packet at this worker.
    pub(crate) fn trace_end(&mut self, verdict: Verdict, frame: &[u8]) {
        let tracer = self.director.tracer();
        if !tracer.is_on() {
            return;
        }
        tracer.step(Step::Decided(verdict));
        if let Verdict::Tx(hop) = verdict
            && let Ok(Parsed::Ip(info)) = parse(frame)
        {
            tracer.step(Step::Leaves { hop, headers: Headers::of(frame, &info) });
        }
        tracer.ends();
    }
}
