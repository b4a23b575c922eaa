//! The bar that is drawn while a pack is made.

use std::time::Instant;

use pe_image::Progress;

use crate::limits::TICK;
use crate::progress::LiveLine;
use crate::units::show_bytes;

/// Marks of a full bar.
const BAR: usize = 24;

/// Draws what it is told, but not more often than eyes see.
#[derive(Debug)]
pub(super) struct Watch {
    line: LiveLine,
    drawn: Option<Instant>,
    /// How many images go into the pack.
    images: usize,
}

impl Watch {
    pub(super) fn new(quiet: bool, images: usize) -> Self {
        Self { line: LiveLine::on_stderr(quiet), drawn: None, images }
    }

    /// Something that has no length.
    pub(super) fn say(&mut self, what: &str) {
        self.line.draw(what);
        self.drawn = None;
    }

    pub(super) fn tell(&mut self, progress: Progress) {
        let is_soon = self.drawn.is_some_and(|at| at.elapsed() < TICK);
        if !self.line.is_live() || (is_soon && matches!(progress, Progress::Layer { .. })) {
            return;
        }
        self.drawn = Some(Instant::now());
        self.line.draw(&words(progress, self.images));
    }
}

fn words(progress: Progress, images: usize) -> String {
    match progress {
        Progress::Layer { image, layer, layers, bytes, bytes_total } => {
            let which = if images > 1 {
                format!("image {} of {images}, ", image + 1)
            } else {
                String::new()
            };
            format!(
                "{which}layer {} of {layers} {} {} of {}",
                layer + 1,
                bar(bytes, bytes_total),
                show_bytes(bytes),
                show_bytes(bytes_total),
            )
        }
        Progress::Making => "making the pack".to_owned(),
        Progress::Finishing => "writing the pack to the disk".to_owned(),
    }
}

fn bar(done: u64, all: u64) -> String {
    let marks = u64::try_from(BAR).unwrap_or(u64::MAX);
    let full = done.min(all).saturating_mul(marks).checked_div(all).unwrap_or(marks);
    let full = usize::try_from(full).unwrap_or(BAR);
    format!("[{}{}]", "#".repeat(full), "-".repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_tells_layer_and_bytes() {
        let layer =
            |bytes| Progress::Layer { image: 0, layer: 1, layers: 3, bytes, bytes_total: 4096 };
        assert_eq!(
            words(layer(0), 1),
            "layer 2 of 3 [------------------------] 0 bytes of 4.0 KiB"
        );
        assert_eq!(
            words(layer(2048), 2),
            "image 1 of 2, layer 2 of 3 [############------------] 2.0 KiB of 4.0 KiB"
        );
        assert_eq!(bar(9, 4), format!("[{}]", "#".repeat(BAR)));
        assert_eq!(bar(0, 0), format!("[{}]", "#".repeat(BAR)));
    }
}
