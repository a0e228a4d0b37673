//! The file that says how many workers there is room for, watched while a group runs.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;

use mio::unix::SourceFd;
use mio::{Interest, Registry};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::wakeups::Source;
use crate::error::{Error, Result};

/// A group whose number of workers may change while it runs.
pub(crate) struct Elastic<'a> {
    /// The file that says how many slots there are.
    pub(crate) file: &'a Path,
    /// Reads it; gives the number of workers that the group should have, where that is another one.
    pub(crate) resize: Box<dyn Fn() -> Result<Option<usize>> + 'a>,
}

/// How many slots the file says there are: a number, and nothing else.
pub(crate) fn slots(file: &Path) -> Result<usize> {
    let text = std::fs::read_to_string(file).map_err(Error::io("read the number of slots from", file))?;
    text.trim().parse().map_err(|_| {
        Error::config(format!("{} holds {:?}, and the number of slots is to stand there", file.display(), text.trim()))
    })
}

/// While it lives, changes of the file wake the poll.
pub(super) struct SlotsWatch {
    inotify: File,
}

impl SlotsWatch {
    /// Watches the file's folder: a file is often changed by giving its name to another.
    pub(super) fn register(file: &Path, registry: &Registry) -> Result<Self> {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let watch = || -> std::io::Result<File> {
            let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            let changes = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::CREATE;
            inotify::add_watch(&inotify, folder, changes)?;
            registry.register(&mut SourceFd(&inotify.as_raw_fd()), Source::Slots.token(), Interest::READABLE)?;
            Ok(File::from(inotify))
        };
        Ok(Self { inotify: watch().map_err(Error::io("watch", folder))? })
    }

    /// Takes what has come; which file it was about shows in the file.
    pub(super) fn take(&mut self) {
        let mut buffer = [0; 4096];
        while matches!(self.inotify.read(&mut buffer), Ok(1..)) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_a_number_and_nothing_else() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            slots(file.path())
        };
        assert_eq!(read("3\n").unwrap(), 3);
        assert_eq!(read(" 0 ").unwrap(), 0);
        for text in ["", "three", "-1", "2 3"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("the number of slots is to stand there"), "{error}");
        }
        slots(Path::new("/nowhere/slots")).unwrap_err();
    }
}
