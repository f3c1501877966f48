//! The entries of a tar that anybody may have made, one after another, within limits.
//!
//! What stands before an entry (long names, PAX) is read here and not by the tar library, which would hold all of it in memory
//! however long it is.

use std::io::{self, Read};

use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::entry::{Extensions, LONGEST, Meta, Unfit, broken};

/// Most entries of an archive: each is remembered while it is compared with the index.
pub(super) const ENTRY_LIMIT: u64 = 10_000_000;
/// Most bytes that stand before an entry: its names, and attributes, of which Linux allows 64 KiB each.
const EXTENSION_LIMIT: u64 = 1024 * 1024;

/// Shows each entry; the first that is not fit ends it.
pub(super) fn each<R: Read>(
    archive: &mut Archive<R>,
    mut visit: impl FnMut(&Meta, &mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let (mut before, mut count) = (Before::default(), 0);
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        count += 1;
        if count > 2 * ENTRY_LIMIT {
            return Err(broken(&format!("has more than {ENTRY_LIMIT} entries")));
        }
        if let Some(meta) = before.take(&mut entry)? {
            visit(&meta, &mut entry)?;
        }
    }
    Ok(())
}

/// What was said of the entry that comes next.
#[derive(Default)]
struct Before {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    extensions: Extensions,
}

impl Before {
    /// The entry with all that was said of it; none where this one only says something of the next.
    fn take<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> io::Result<Option<Meta>> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XHeader {
            self.pax(&limited(entry, EXTENSION_LIMIT)?)?;
        } else if kind == EntryType::GNULongName {
            self.path = Some(name(entry)?);
        } else if kind == EntryType::GNULongLink {
            self.link = Some(name(entry)?);
        } else {
            let Self { path, link, extensions } = std::mem::take(self);
            let path = path.unwrap_or_else(|| entry.path_bytes().into_owned());
            let own = || entry.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default();
            let link = link.unwrap_or_else(own);
            return fit(Meta::of(entry.header(), entry.size(), (path, link), extensions)).map(Some);
        }
        Ok(None)
    }

    fn pax(&mut self, bytes: &[u8]) -> io::Result<()> {
        for extension in PaxExtensions::new(bytes) {
            let extension = extension?;
            match extension.key() {
                Ok("path") => self.path = Some(extension.value_bytes().to_vec()),
                Ok("linkpath") => self.link = Some(extension.value_bytes().to_vec()),
                // Two lengths of one entry are how one reader is made to see what another does not.
                Ok("size") => return Err(broken("gives the size of an entry a second time")),
                Ok(key) => self.extensions.note(key, extension.value_bytes()),
                Err(_no_text) => {}
            }
        }
        Ok(())
    }
}

/// A long name; it ends with a zero.
fn name<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Vec<u8>> {
    let mut name = limited(entry, LONGEST as u64 + 1)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

fn limited<R: Read>(entry: &mut Entry<'_, R>, limit: u64) -> io::Result<Vec<u8>> {
    let size = entry.size();
    if size > limit {
        return Err(broken(&format!("has {size} bytes before an entry, and {limit} are the most")));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn fit(meta: Result<Meta, Unfit>) -> io::Result<Meta> {
    meta.map_err(|unfit| match unfit {
        Unfit::Device => broken("has a device among its entries"),
        Unfit::Broken(error) => error,
    })
}
