//! Working out what spans mean.

use raceway_analyzer_client::Reported;

use crate::live::Live;

/// What is kept in memory about all spans.
#[derive(Default)]
pub struct View {}

impl Live for View {
    fn observe(&self, fresh: &[Reported]) {
        let _ = fresh;
    }
}
