//! `trace`: one packet after the other, a line for each step.

use api::{TraceView, TracedPacket};

/// Packets as they come.
pub fn part(view: &TraceView) -> String {
    let mut text: String = view.packets.iter().map(packet).collect();
    if view.lost > 0 {
        text += &format!("{} more came too fast to be shown\n", view.lost);
    }
    text
}

fn packet(packet: &TracedPacket) -> String {
    let mut text = format!("worker {}\n", packet.worker);
    for step in &packet.steps {
        text += format!("  {:<10}  {}", step.stage, step.text).trim_end();
        text.push('\n');
    }
    text
}
