//! Folders of images, one sub-folder a class. Needs the feature `images`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::imageops::FilterType;
use image::{DynamicImage, ImageReader};
use tch::{Kind, Tensor};

use super::dataset::{Dataset, Draw};
use crate::error::{Error, Result};

type Map = dyn Fn(Tensor, Draw) -> Result<Tensor> + Send + Sync;

/// The images below a folder, whose sub-folders are the classes: torchvision's `ImageFolder`, with its classes and its order.
///
/// ```text
/// flowers/rose/1.png        label 0
/// flowers/rose/more/2.jpg   label 0
/// flowers/tulip/3.jpeg      label 1
/// ```
///
/// Classes are sorted by name, and in a class images by folder and name. Files that do not end in `.png`, `.jpg` or `.jpeg`
/// are passed over; links are followed. A batch is the pair of images, `[samples, 3, height, width]`, and labels,
/// `[samples]` of int64. Images are RGB, float32 from 0 to 1 or, with [`bytes`](Self::bytes), uint8; grey ones are made RGB,
/// transparency and the camera's orientation are left out, as Pillow does for torchvision.
///
/// ```no_run
/// use trainloop::data::ImageFolder;
/// use trainloop::prelude::*;
///
/// # fn main() -> Result<()> {
/// let flowers = ImageFolder::open("flowers")?.resize(64, 64).map(|image, draw| {
///     // [3, 64, 64]: one in two is mirrored, and the same ones after a resume
///     Ok(if draw.seed(17) % 2 == 0 { image.f_flip([2])? } else { image })
/// });
/// let classes = flowers.classes().to_vec();
/// let loader = DataLoader::builder(flowers).batch_size(32).shuffle(17).workers(4).build()?;
/// for batch in loader.epoch(0)? {
///     let batch = batch?;
///     let (images, labels) = &*batch; // [32, 3, 64, 64] and [32]
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ImageFolder {
    found: Arc<Found>,
    bytes: bool,
    /// Height and width.
    size: Option<(u32, u32)>,
    maps: Vec<Arc<Map>>,
}

struct Found {
    classes: Vec<String>,
    samples: Vec<(PathBuf, i64)>,
}

/// One image of an [`ImageFolder`].
#[derive(Debug)]
pub struct LabelledImage {
    /// `[3, height, width]`, or what [`ImageFolder::map`] has made of it.
    pub image: Tensor,
    /// The number of its class.
    pub label: i64,
    /// Its file.
    pub path: PathBuf,
}

impl ImageFolder {
    /// Finds the classes and images below `folder`; no image is read yet.
    ///
    /// # Errors
    /// [`Error::Io`] where a folder cannot be read; [`Error::DataFile`] where there is no sub-folder, or one has no image.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let mut classes: Vec<PathBuf> = entries(folder)?.into_iter().filter(|path| path.is_dir()).collect();
        classes.sort();
        if classes.is_empty() {
            return Err(Error::data_file(folder, "there is no sub-folder in it; give each class of images one"));
        }
        let mut found = Found { classes: Vec::new(), samples: Vec::new() };
        for (class, label) in classes.into_iter().zip(0..) {
            let mut images = Vec::new();
            images_below(&class, &mut images)?;
            if images.is_empty() {
                let reason = "there is no image in the folder of this class (.png, .jpg, .jpeg); remove it or fill it";
                return Err(Error::data_file(&class, reason));
            }
            // By the text of the folder and then by name, as Python sorts what `os.walk` gives.
            images.sort_by_cached_key(|path| {
                (path.parent().map(|parent| parent.as_os_str().to_owned()), path.file_name().map(ToOwned::to_owned))
            });
            let Some(name) = class.file_name().and_then(|name| name.to_str()) else {
                return Err(Error::data_file(&class, "the name of this class is no UTF-8; rename the folder"));
            };
            found.classes.push(name.to_owned());
            found.samples.extend(images.into_iter().map(|path| (path, label)));
        }
        Ok(Self { found: Arc::new(found), bytes: false, size: None, maps: Vec::new() })
    }

    /// Images as they are stored, uint8 from 0 to 255, a quarter of the memory.
    #[must_use]
    pub fn bytes(mut self) -> Self {
        self.bytes = true;
        self
    }

    /// Brings every image to this size, whatever its shape was, by a triangle filter that widens as images shrink (Pillow's
    /// `BILINEAR`).
    #[must_use]
    pub fn resize(mut self, height: u32, width: u32) -> Self {
        self.size = Some((height, width));
        self
    }

    /// Has `map` change each image, in the loader's threads, after those that were given before. Chance comes from
    /// [`Draw::seed`].
    #[must_use]
    pub fn map(mut self, map: impl Fn(Tensor, Draw) -> Result<Tensor> + Send + Sync + 'static) -> Self {
        self.maps.push(Arc::new(map));
        self
    }

    /// The classes' names; a label is the place in them.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.found.classes
    }

    /// The files and their labels, in the dataset's order.
    #[must_use]
    pub fn samples(&self) -> &[(PathBuf, i64)] {
        &self.found.samples
    }

    fn read(&self, path: &Path) -> Result<Tensor> {
        let reader = ImageReader::open(path).map_err(Error::io("open", path))?;
        // By what it holds: a JPEG that is called .png is still one.
        let reader = reader.with_guessed_format().map_err(Error::io("read", path))?;
        let mut image = reader
            .decode()
            .map_err(|error| Error::data_file(path, format!("not an image that can be read, PNG or JPEG: {error}")))?;
        if let Some((height, width)) = self.size {
            // In RGB, so that the colour behind transparency is not weighed in.
            image = DynamicImage::ImageRgb8(image.into_rgb8()).resize_exact(width, height, FilterType::Triangle);
        }
        let image = image.into_rgb8();
        let size = [i64::from(image.height()), i64::from(image.width()), 3];
        let pixels = Tensor::f_from_data_size(image.as_raw(), &size, Kind::Uint8)?;
        let pixels = pixels.f_permute([2, 0, 1])?.f_contiguous()?;
        if self.bytes { Ok(pixels) } else { Ok(pixels.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?) }
    }
}

impl Dataset for ImageFolder {
    type Sample = LabelledImage;
    /// Images and labels.
    type Batch = (Tensor, Tensor);

    fn len(&self) -> usize {
        self.found.samples.len()
    }

    fn get(&self, index: usize) -> Result<LabelledImage> {
        self.draw(Draw { index, epoch: 0, place: index })
    }

    fn draw(&self, draw: Draw) -> Result<LabelledImage> {
        let Some((path, label)) = self.found.samples.get(draw.index) else {
            return Err(Error::other(format!("there are {} images", self.len())));
        };
        let mut image = self.read(path)?;
        for map in &self.maps {
            image = map(image, draw)?;
        }
        Ok(LabelledImage { image, label: *label, path: path.clone() })
    }

    fn collate(&self, samples: Vec<LabelledImage>) -> Result<(Tensor, Tensor)> {
        if let Some((first, rest)) = samples.split_first() {
            let of = |sample: &LabelledImage| (sample.image.size(), sample.image.kind());
            if let Some(other) = rest.iter().find(|sample| of(sample) != of(first)) {
                let shown = |sample: &LabelledImage| {
                    format!("{:?} of {:?} ({})", sample.image.size(), sample.image.kind(), sample.path.display())
                };
                return Err(Error::other(format!(
                    "images of a batch have one size and dtype, and these differ: {} and {}; call `resize`, or bring them \
                     to one size in `map`",
                    shown(first),
                    shown(other)
                )));
            }
        }
        let labels: Vec<i64> = samples.iter().map(|sample| sample.label).collect();
        let images: Vec<Tensor> = samples.into_iter().map(|sample| sample.image).collect();
        Ok((Tensor::f_stack(&images, 0)?, Tensor::f_from_slice(&labels)?))
    }
}

impl fmt::Debug for ImageFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageFolder")
            .field("classes", &self.found.classes)
            .field("images", &self.found.samples.len())
            .field("bytes", &self.bytes)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = fs::read_dir(folder).map_err(Error::io("list", folder))?;
    listed.map(|entry| Ok(entry.map_err(Error::io("list", folder))?.path())).collect()
}

fn images_below(folder: &Path, images: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(folder)? {
        // Of a link to a folder above itself this is the error that ends the walk.
        if fs::metadata(&path).map_err(Error::io("look at", &path))?.is_dir() {
            images_below(&path, images)?;
        } else {
            let ending = path.extension().unwrap_or_default();
            if ["png", "jpg", "jpeg"].iter().any(|image| ending.eq_ignore_ascii_case(image)) {
                images.push(path);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgb, RgbImage};

    use super::*;
    use crate::data::DataLoader;

    fn save(path: &Path, width: u32, height: u32, format: ImageFormat, pixel: impl Fn(u32, u32) -> [u8; 3]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_fn(width, height, |x, y| Rgb(pixel(x, y))).save_with_format(path, format).unwrap();
    }

    /// `rose/b.PNG`, `rose/a/a.jpg` and `tulip/a.png`, of 3 × 2 pixels each.
    fn flowers() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let at = |name| folder.path().join(name);
        save(&at("tulip/a.png"), 3, 2, ImageFormat::Png, |x, y| [x as u8, 10 + y as u8, 255]);
        save(&at("rose/b.PNG"), 3, 2, ImageFormat::Png, |_, _| [0, 51, 255]);
        save(&at("rose/a/a.jpg"), 3, 2, ImageFormat::Jpeg, |_, _| [200, 100, 50]);
        fs::write(at("rose/notes.txt"), "no image").unwrap();
        fs::write(at("readme.png"), "no class").unwrap();
        folder
    }

    fn bytes(tensor: &Tensor) -> Vec<u8> {
        Vec::try_from(tensor.flatten(0, -1)).unwrap()
    }

    fn refused<T>(result: Result<T>) -> String {
        let Err(error) = result else { panic!("it was taken") };
        crate::error::with_causes(&error)
    }

    #[test]
    fn classes_and_images_are_in_torchvisions_order() {
        let folder = flowers();
        let found = ImageFolder::open(folder.path()).unwrap();
        assert_eq!(found.classes(), ["rose", "tulip"]);
        let expected = [("rose/b.PNG", 0), ("rose/a/a.jpg", 0), ("tulip/a.png", 1)];
        assert_eq!(found.samples(), expected.map(|(name, label)| (folder.path().join(name), label)));
    }

    #[test]
    fn pixels_are_channels_first() {
        let folder = flowers();
        let found = ImageFolder::open(folder.path()).unwrap();
        let sample = found.clone().bytes().get(2).unwrap();
        assert_eq!((sample.image.size(), sample.image.kind(), sample.label), (vec![3, 2, 3], Kind::Uint8, 1));
        let expected = [0, 1, 2, 0, 1, 2, 10, 10, 10, 11, 11, 11, 255, 255, 255, 255, 255, 255];
        assert_eq!(bytes(&sample.image), expected);
        let floats = found.get(0).unwrap().image;
        assert_eq!(floats.kind(), Kind::Float);
        assert_eq!(Vec::<f32>::try_from(floats.select(1, 0).select(1, 0)).unwrap(), [0.0, 0.2, 1.0]);
        // JPEG loses a little.
        let jpeg = bytes(&found.bytes().get(1).unwrap().image);
        for (place, value) in jpeg.iter().enumerate() {
            assert!(value.abs_diff([200, 100, 50][place / 6]) <= 3, "{jpeg:?}");
        }
    }

    #[test]
    fn grey_and_transparent_images_are_made_rgb() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("one")).unwrap();
        let grey = image::GrayImage::from_pixel(1, 1, image::Luma([77]));
        grey.save(folder.path().join("one/a.png")).unwrap();
        let clear = image::RgbaImage::from_pixel(1, 1, image::Rgba([1, 2, 3, 0]));
        clear.save(folder.path().join("one/b.png")).unwrap();
        let found = ImageFolder::open(folder.path()).unwrap().bytes();
        assert_eq!(bytes(&found.get(0).unwrap().image), [77, 77, 77]);
        assert_eq!(bytes(&found.get(1).unwrap().image), [1, 2, 3]);
        assert_eq!(bytes(&found.resize(1, 1).get(1).unwrap().image), [1, 2, 3]);
    }

    #[test]
    fn a_loader_gives_resized_and_mapped_batches() {
        let folder = flowers();
        save(&folder.path().join("tulip/z.png"), 9, 5, ImageFormat::Png, |_, _| [30, 60, 90]);
        let found = ImageFolder::open(folder.path()).unwrap().bytes().resize(4, 6).map(|image, draw| {
            assert_eq!(image.size(), [3, 4, 6]);
            Ok(image.f_to_kind(Kind::Int64)?.f_add_scalar(1000 * draw.epoch as i64)?)
        });
        let found = found.map(|image, _| Ok(image.f_neg()?));
        let loader = DataLoader::builder(found).batch_size(4).workers(2).build().unwrap();
        let (images, labels) = loader.epoch(2).unwrap().next().unwrap().unwrap().into_inner();
        assert_eq!((images.size(), images.kind()), (vec![4, 3, 4, 6], Kind::Int64));
        assert_eq!(Vec::<i64>::try_from(labels).unwrap(), [0, 0, 1, 1]);
        assert_eq!(Vec::<i64>::try_from(images.select(0, 3).amax([1, 2], false)).unwrap(), [-2030, -2060, -2090]);
    }

    #[test]
    fn images_of_two_sizes_are_refused_with_both_files() {
        let folder = flowers();
        let other = folder.path().join("tulip/z.png");
        save(&other, 9, 5, ImageFormat::Png, |_, _| [0; 3]);
        let loader = DataLoader::builder(ImageFolder::open(folder.path()).unwrap()).batch_size(4).build().unwrap();
        let error = refused(loader.epoch(0).unwrap().next().unwrap());
        let first = folder.path().join("rose/b.PNG");
        assert!(error.contains(&format!("[3, 2, 3] of Float ({})", first.display())), "{error}");
        assert!(error.contains(&format!("[3, 5, 9] of Float ({})", other.display())), "{error}");
    }

    #[test]
    fn broken_images_and_empty_folders_are_named() {
        let folder = flowers();
        let broken = folder.path().join("tulip/b.png");
        let whole = fs::read(folder.path().join("tulip/a.png")).unwrap();
        for content in [&b"not an image"[..], &whole[..whole.len() / 2], b""] {
            fs::write(&broken, content).unwrap();
            let error = refused(ImageFolder::open(folder.path()).unwrap().get(3));
            assert!(error.contains(&broken.display().to_string()) && error.contains("not an image"), "{error}");
        }
        let empty = folder.path().join("violet");
        fs::create_dir(&empty).unwrap();
        let error = refused(ImageFolder::open(folder.path()));
        assert!(error.starts_with(&format!("{}: there is no image", empty.display())), "{error}");
        let error = refused(ImageFolder::open(&empty));
        assert!(error.starts_with(&format!("{}: there is no sub-folder", empty.display())), "{error}");
        assert!(refused(ImageFolder::open("nowhere")).contains("nowhere"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_ends() {
        let folder = flowers();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("rose/up")).unwrap();
        let error = refused(ImageFolder::open(folder.path()));
        assert!(error.contains("look at") || error.contains("list"), "{error}");
    }
}
