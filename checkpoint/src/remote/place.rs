//! What [`crate::Checkpoints`] does in object storage: a checkpoint is its objects, and its manifest makes it one.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures_util::stream::{StreamExt, TryStreamExt};
use object_store::PutMode;
use object_store::path::{Path as ObjectPath, PathPart};

use super::transfer::{self, Transfer};
use super::{Remote, bridge, trouble};
use crate::commit::{Committed, Staged, manifest_of, writers};
use crate::error::{Error, Result, with_causes};
use crate::layout::{Kind, MANIFEST, staging_folder};
use crate::manifest::{FileEntry, Manifest};
use crate::ranking::Ranked;
use crate::sweep::Swept;

/// So many manifests are read at once.
const AT_ONCE: usize = 16;

/// The objects of the run's checkpoints, by index: their names below the checkpoint, and lengths.
pub(super) type Objects = BTreeMap<u64, HashMap<String, u64>>;

/// `checkpoints/checkpoint_000012`.
pub(super) fn folder_of(index: u64) -> String {
    format!("checkpoints/{}", Kind::Checkpoint.name(index))
}

pub(super) fn object_of(index: u64, path: &str) -> String {
    format!("{}/{path}", folder_of(index))
}

impl Remote {
    /// A rank's files.
    pub(crate) fn upload(&self, index: u64, staging: &Path, entries: &[FileEntry]) -> Result<()> {
        let transfer = |entry: &FileEntry| Transfer {
            file: staging.join(&entry.path),
            name: object_of(index, &entry.path),
            bytes: entry.bytes,
        };
        let (at, transfers) = (self.at.clone(), entries.iter().map(transfer).collect());
        bridge::wait(transfer::upload(at, transfers))?
    }

    pub(crate) fn commit(&self, staged: Staged) -> Result<Committed> {
        let index = staged.index;
        let manifest = manifest_of(staged);
        let committed = self.check(&manifest).and_then(|()| {
            // Before the manifest, which counts the reports.
            self.store_records()?;
            self.put_manifest(&manifest)
        });
        if let Err(error) = committed {
            self.abandon(index);
            return Err(error);
        }
        let folder = self.keep_staged(&manifest);
        Ok(Committed { index, folder, manifest })
    }

    /// That the storage has what the ranks say, and nothing else.
    fn check(&self, manifest: &Manifest) -> Result<()> {
        let index = manifest.index;
        let url = self.at.url_of(&folder_of(index));
        let writers = writers(manifest)?;
        let found: HashMap<_, _> = self.list(&folder_of(index))?.into_iter().collect();
        if found.contains_key(MANIFEST) {
            return Err(Error::checkpoint(format!("there is a checkpoint {index} at {url} already")));
        }
        for entry in &manifest.files {
            let Some(reason) = misfit(&found, entry) else { continue };
            return Err(Error::checkpoint(format!("{url}/{}: {reason}", entry.path)));
        }
        let spoken_for: Vec<_> = writers.keys().map(|path| encoded(path)).collect();
        match found.keys().find(|name| !spoken_for.contains(name)) {
            Some(name) => {
                Err(Error::checkpoint(format!("the object `{name}` lies in {url}, but no rank says that it wrote it")))
            }
            None => Ok(()),
        }
    }

    /// From here on the checkpoint exists. Only with the lock, and only while it is certain to be ours.
    fn put_manifest(&self, manifest: &Manifest) -> Result<()> {
        let index = manifest.index;
        let text = manifest.to_text().map_err(|error| Error::serde("write a checkpoint's manifest", error))?;
        let name = object_of(index, MANIFEST);
        let until = self.confirm_lock()?;
        let (at, bytes, object) = (self.at.clone(), text.clone(), name.clone());
        let put = bridge::wait(async move {
            let left = until.saturating_duration_since(Instant::now());
            bridge::within(left, at.put_as(&object, bytes, PutMode::Create)).await
        })?;
        let error = match put {
            Some(Ok(_)) => return Ok(()),
            Some(Err(failed)) => failed.error,
            None => trouble::late("write", &self.at.url_of(&name)),
        };
        // The answer may have been lost on its way, and the manifest be there.
        match self.get(&name) {
            Ok(Some(found)) if found == text => Ok(()),
            Ok(Some(_)) => Err(Error::checkpoint(format!(
                "there is a checkpoint {index} at {} already",
                self.at.url_of(&folder_of(index))
            ))),
            Ok(None) => Err(error),
            Err(_) => Err(Error::storage(format!(
                "{}; if checkpoint {index} is whole, it is taken up when the run is resumed",
                with_causes(&error)
            ))),
        }
    }

    pub(crate) fn abandon(&self, index: u64) {
        let _ = fs::remove_dir_all(staging_folder(&self.folder, index));
        let Ok(found) = self.list(&folder_of(index)) else { return };
        // One with a manifest exists.
        if !found.iter().any(|(name, _)| name == MANIFEST) && self.confirm_lock().is_ok() {
            let _ = self.remove_objects(index, found.into_iter().map(|(name, _)| name));
        }
    }

    /// By the names that a listing gave, which are encoded.
    fn remove_objects(&self, index: u64, names: impl Iterator<Item = String>) -> Result<()> {
        let (at, folder) = (self.at.clone(), folder_of(index));
        let keys = names.map(|name| at.listed_key(&folder, &name)).collect::<Result<_>>()?;
        bridge::wait(async move { at.remove_keys(keys).await })?
    }

    pub(crate) fn delete(&self, index: u64) -> Result<()> {
        self.confirm_lock()?;
        // From here on it does not count.
        self.remove(&object_of(index, MANIFEST))?;
        let rest = self.list(&folder_of(index))?;
        self.remove_objects(index, rest.into_iter().map(|(name, _)| name))?;
        self.forget(index)
    }

    pub(crate) fn sweep(&self) -> Result<Swept> {
        self.confirm_lock()?;
        let mut swept = Swept::default();
        let mut objects = self.objects()?;
        objects.retain(|&index, found| {
            if found.contains_key(MANIFEST) {
                return true;
            }
            match self.remove_objects(index, found.keys().cloned()) {
                Ok(()) => swept.removed.push(Kind::Checkpoint.name(index)),
                Err(error) => swept.warnings.push(with_causes(&error)),
            }
            false
        });
        self.sweep_folder(&objects, &mut swept)?;
        Ok(swept)
    }

    /// Of every checkpoint, those without a manifest included.
    pub(super) fn objects(&self) -> Result<Objects> {
        let mut objects = Objects::new();
        for (name, bytes) in self.list("checkpoints")? {
            // What else lies there is the user's.
            if let Some((folder, path)) = name.split_once('/')
                && let Some((Kind::Checkpoint, index)) = Kind::parse(folder)
            {
                objects.entry(index).or_default().insert(path.to_owned(), bytes);
            }
        }
        Ok(objects)
    }

    pub(crate) fn committed(&self) -> Result<Vec<u64>> {
        let objects = self.objects()?.into_iter();
        Ok(objects.filter(|(_, found)| found.contains_key(MANIFEST)).map(|(index, _)| index).collect())
    }

    pub(crate) fn ranked(&self) -> Result<Vec<Ranked>> {
        let (at, committed) = (self.at.clone(), self.committed()?);
        bridge::wait(async move {
            let read = |index| {
                let at = &at;
                async move { Ok::<_, Error>((index, at.get(&object_of(index, MANIFEST)).await?)) }
            };
            let manifests: Vec<_> =
                futures_util::stream::iter(committed).map(read).buffered(AT_ONCE).try_collect().await?;
            let readable =
                manifests.into_iter().filter_map(|(index, found)| Some((index, Manifest::parse(&found?.0).ok()?)));
            Ok(readable.map(|(index, manifest)| Ranked { index, score: manifest.score }).collect())
        })?
    }

    pub(crate) fn highest_index(&self) -> Result<Option<u64>> {
        Ok(self.objects()?.into_keys().next_back())
    }

    pub(crate) fn latest_whole(&self, warn: &mut dyn FnMut(String)) -> Result<Option<(u64, PathBuf, Manifest)>> {
        for (index, found) in self.objects()?.into_iter().rev() {
            if !found.contains_key(MANIFEST) {
                continue;
            }
            match self.fetch_whole(index, &found, true)? {
                Ok((folder, manifest)) => return Ok(Some((index, folder, manifest))),
                Err(damage) => warn(format!("checkpoint {index} is passed over: {damage}")),
            }
        }
        Ok(None)
    }

    pub(crate) fn manifest(&self, index: u64) -> Result<Manifest> {
        let name = object_of(index, MANIFEST);
        let text = self.get(&name)?.ok_or_else(|| "missing".to_owned());
        let manifest = text.and_then(|text| Manifest::parse(&text));
        manifest.map_err(|reason| Error::checkpoint(format!("{}: {reason}", self.at.url_of(&name))))
    }

    pub(crate) fn fetch(&self, index: u64) -> Result<PathBuf> {
        let found = self.list(&folder_of(index))?.into_iter().collect();
        let (folder, _) = self.fetch_whole(index, &found, false)?.map_err(Error::checkpoint)?;
        Ok(folder)
    }
}

/// A file's name as a listing has it.
pub(super) fn encoded(path: &str) -> String {
    path.split('/').map(PathPart::from).collect::<ObjectPath>().to_string()
}

/// Why the objects that were found, with their sizes, are not what a rank wrote; `None` where they are.
pub(super) fn misfit(found: &HashMap<String, u64>, entry: &FileEntry) -> Option<String> {
    match found.get(&encoded(&entry.path)) {
        None => Some(format!("missing, though rank {} wrote it", entry.rank)),
        Some(bytes) if *bytes != entry.bytes => {
            Some(format!("{bytes} bytes, though rank {} wrote {}", entry.rank, entry.bytes))
        }
        Some(_) => None,
    }
}
