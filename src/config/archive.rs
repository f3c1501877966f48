//! `[archive]`: what is kept of environments that are over, how long and how much.

use std::time::Duration;

use super::reader::Section;

/// What `keep` is when nothing is said.
const DEFAULT_KEEP: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// What `max_size` is when nothing is said.
const DEFAULT_MAX_SIZE: u64 = 50_000_000_000;

/// What `max_volume` is when nothing is said.
const DEFAULT_MAX_VOLUME: u64 = 50_000_000_000;

/// `[archive]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Older archives go; none: they stay for ever.
    pub keep: Option<Duration>,
    /// Bytes that all archives together may have; none: any number.
    pub max_size: Option<u64>,
    /// Bytes that the files of one volume may have, holes counted; more is not archived.
    pub max_volume: u64,
    /// Volumes are read and filled in their folder where this daemon reaches it; else always by the engine.
    pub direct: bool,
    /// The images that drey built go into the archive.
    pub images: bool,
    /// Bytes of images that drey built and that stay on the engine for archives.
    pub image_budget: u64,
}

impl Archive {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let keep = section.unless("keep", "forever", Section::duration).unwrap_or(Some(DEFAULT_KEEP));
        if keep == Some(Duration::ZERO) {
            section.fault("keep", "would remove each archive at once; write how long, or \"forever\"");
        }
        let max_size =
            section.unless("max_size", "unlimited", Section::size).unwrap_or(Some(DEFAULT_MAX_SIZE));
        if max_size == Some(0) {
            section.fault("max_size", "would remove each archive at once; write how much, or \"unlimited\"");
        }
        let read = Self {
            keep,
            max_size,
            max_volume: section.size("max_volume").unwrap_or(DEFAULT_MAX_VOLUME),
            direct: section.flag("direct").unwrap_or(true),
            images: section.flag("images").unwrap_or(false),
            image_budget: section.size("image_budget").unwrap_or(0),
        };
        section.finish();
        read
    }
}
