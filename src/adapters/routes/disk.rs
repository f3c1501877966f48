//! Generations on the disk: each in a folder of its own, complete and durable before `current` leads to it.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::fault::Fault;

/// Stands for the mark of a configuration in its own files, until that is known.
pub(super) const MARK: &str = "@drey-generation@";
/// Generations that are kept: the one that serves, and those before it.
const KEPT: usize = 3;
/// The link to the generation that counts.
const CURRENT: &str = "current";

/// A configuration that is not on the disk yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Says what is in it: the same content has the same mark.
    pub mark: String,
    /// Name → text.
    pub files: BTreeMap<String, String>,
    /// Name in the store → certificates and keys.
    pub pems: BTreeMap<String, Vec<u8>>,
}

impl Rendered {
    /// Puts the mark in, which follows from all that is given.
    pub fn new(files: BTreeMap<String, String>, pems: BTreeMap<String, Vec<u8>>) -> Self {
        let mut hash = Sha256::new();
        for (name, text) in &files {
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(text.as_bytes());
            hash.update([0]);
        }
        // A certificate's name follows from its content, and is in the files.
        let digest: [u8; 32] = hash.finalize().into();
        let mark = hex::encode(&digest[..10]);
        let files = files.into_iter().map(|(name, text)| (name, text.replace(MARK, &mark))).collect();
        Self { mark, files, pems }
    }
}

/// The folder of one proxy.
#[derive(Clone, Debug)]
pub struct Disk {
    root: PathBuf,
}

impl Disk {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the proxy is started with: `<folder>/current/<file>`.
    pub fn current(&self) -> PathBuf {
        self.root.join(CURRENT)
    }

    pub fn generation(&self, mark: &str) -> PathBuf {
        self.root.join("generations").join(mark)
    }

    /// Where certificates and keys are.
    pub fn store(&self) -> PathBuf {
        self.root.join("pem")
    }

    /// Sockets and the like of the proxy itself.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The mark of the generation that `current` leads to, where that is whole.
    pub fn current_mark(&self) -> Option<String> {
        let target = std::fs::read_link(self.current()).ok()?;
        let mark = target.file_name()?.to_str()?.to_owned();
        self.generation(&mark).is_dir().then_some(mark)
    }

    /// Writes it beside those that are there; whoever reads `current` sees nothing of it.
    pub fn stage(&self, rendered: &Rendered) -> Result<PathBuf, Fault> {
        self.write_generation(rendered).map_err(|error| {
            let root = self.root.display();
            Fault::Disk(format!("{root}: {error}"))
        })
    }

    fn write_generation(&self, rendered: &Rendered) -> std::io::Result<PathBuf> {
        for folder in [&self.root, &self.store(), &self.run(), &self.root.join("generations")] {
            make(folder)?;
        }
        for (name, bytes) in &rendered.pems {
            let path = self.store().join(name);
            // Named by its content: one that is there is this one.
            if !std::fs::metadata(&path)
                .is_ok_and(|file| file.len() == u64::try_from(bytes.len()).unwrap_or(0))
            {
                write(&path, bytes)?;
            }
        }
        sync(&self.store())?;
        let folder = self.generation(&rendered.mark);
        make(&folder)?;
        for (name, text) in &rendered.files {
            if !std::fs::read(folder.join(name)).is_ok_and(|there| there == text.as_bytes()) {
                write(&folder.join(name), text.as_bytes())?;
            }
        }
        sync(&folder)?;
        sync(&self.root.join("generations"))?;
        Ok(folder)
    }

    /// From now on the proxy reads this one. In one step: whoever looks finds the old one or this one.
    pub fn switch(&self, mark: &str) -> Result<(), Fault> {
        let link = self.root.join("current.new");
        let switched = remove(&link)
            .and_then(|()| symlink(Path::new("generations").join(mark), &link))
            .and_then(|()| std::fs::rename(&link, self.current()))
            .and_then(|()| sync(&self.root));
        switched.map_err(|error| Fault::Disk(format!("{}: {error}", self.current().display())))
    }

    /// The proxy reads none of them any more.
    pub fn leave(&self) -> Result<(), Fault> {
        let left = remove(&self.current()).and_then(|()| sync(&self.root));
        left.map_err(|error| Fault::Disk(format!("{}: {error}", self.current().display())))
    }

    /// Takes a generation away that does not count.
    pub fn discard(&self, mark: &str) {
        if self.current_mark().as_deref() != Some(mark) {
            std::fs::remove_dir_all(self.generation(mark)).ok();
        }
    }

    /// Takes away what is older than the last few generations, and certificates that none of those names.
    pub fn tidy(&self, used: &BTreeMap<String, Vec<u8>>) {
        let current = self.current_mark();
        let mut others: Vec<(std::time::SystemTime, PathBuf)> = list(&self.root.join("generations"))
            .filter(|path| path.file_name().and_then(|name| name.to_str()) != current.as_deref())
            .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
            .collect();
        others.sort();
        let too_many = (others.len() + 1).saturating_sub(KEPT);
        for (_, path) in others.drain(..too_many.min(others.len())) {
            std::fs::remove_dir_all(path).ok();
        }
        let kept: Vec<String> = list(&self.root.join("generations"))
            .flat_map(|folder| list(&folder))
            .filter_map(|file| std::fs::read_to_string(file).ok())
            .collect();
        for path in list(&self.store()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if !used.contains_key(&name) && !kept.iter().any(|text| text.contains(&name)) {
                std::fs::remove_file(path).ok();
            }
        }
    }
}

/// The name under which the store has these bytes.
pub(super) fn pem_name(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    format!("{}.pem", hex::encode(&digest[..12]))
}

fn list(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn make(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder)
}

/// Whole or not at all. Keys are among them: nobody else may read it.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut half = path.as_os_str().to_owned();
    half.push(".new");
    let half = PathBuf::from(half);
    remove(&half)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.and_then(|()| std::fs::rename(&half, path)).inspect_err(|_| {
        std::fs::remove_file(&half).ok();
    })
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
