//! Files that pyarrow has written, by `runtime/tests/expected/tables.py`, where each column is told.

use std::path::PathBuf;

use tch::{Kind, Tensor};

use super::*;
use crate::data::{IterableDataset, StreamLoader, parquet};

const PARQUET: [&str; 3] = ["snappy.parquet", "zstd.parquet", "none.parquet"];
const ARROW: [&str; 3] = ["plain.arrow", "zstd.arrow", "lz4.arrow"];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/tables").join(name)
}

fn open<const N: usize>(name: &str, columns: [&str; N]) -> Result<RecordStream<N>> {
    if name.ends_with("parquet") { parquet::stream(&[file(name)], columns) } else { stream(&[file(name)], columns) }
}

fn tables() -> impl Iterator<Item = Table> {
    let arrows = ARROW.into_iter().chain(["stream.arrows"]).map(|name| read(file(name)).unwrap());
    PARQUET.into_iter().map(|name| parquet::read(file(name)).unwrap()).chain(arrows)
}

fn refused<T>(result: Result<T>) -> String {
    let Err(error) = result else { panic!("it was taken") };
    crate::error::with_causes(&error)
}

fn floats(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

fn numbers(of: impl Fn(f64) -> f64) -> Vec<f64> {
    (0..10).map(|row| of(f64::from(row))).collect()
}

#[test]
fn columns_become_tensors() {
    for table in tables() {
        assert_eq!((table.len(), table.columns()[..2].to_vec()), (10, vec!["weight", "label"]));
        let weight = table.column::<f32>("weight").unwrap();
        assert_eq!((weight.kind(), floats(&weight)), (Kind::Float, numbers(|row| row + 0.25)));
        assert_eq!(floats(&table.column::<i64>("label").unwrap()), numbers(|row| row % 3.0));
        assert_eq!(floats(&table.column::<i64>("code").unwrap()), numbers(|row| 65000.0 + row));
        assert_eq!(floats(&table.column::<f32>("half").unwrap()), numbers(|row| row / 2.0));
        let even = table.column::<bool>("even").unwrap();
        assert_eq!((even.kind(), floats(&even)), (Kind::Bool, numbers(|row| 1.0 - row % 2.0)));
        let pixels = table.column::<f32>("pixels").unwrap();
        assert_eq!(pixels.size(), [10, 3]);
        assert_eq!(floats(&pixels.select(1, 2)), numbers(|row| 10.0 * row + 2.0));
        let matrix = table.matrix::<f64>(&["label", "weight"]).unwrap();
        assert_eq!((matrix.size(), matrix.kind()), (vec![10, 2], Kind::Double));
        assert_eq!(floats(&matrix.select(1, 1)), numbers(|row| row + 0.25));
        let (classes, names) = table.classes("species").unwrap();
        assert_eq!(names, ["aster", "lily", "rose"]);
        assert_eq!(Vec::<i64>::try_from(classes).unwrap(), [2, 1, 0, 2, 1, 0, 2, 1, 0, 2]);
    }
}

#[test]
fn mistakes_are_told_with_row_and_column() {
    for table in tables() {
        let error = refused(table.column::<i64>("holes"));
        assert!(error.contains("row 5, column `holes`: null"), "{error}");
        let error = refused(table.column::<f32>("holed"));
        assert!(error.contains("row 6, column `holed`: null"), "{error}");
        let error = refused(table.column::<i64>("large"));
        assert!(error.contains("row 7, column `large`: 9223372036854775808 is too large"), "{error}");
        let error = refused(table.column::<u8>("code"));
        assert!(error.contains("row 0, column `code`: `65000`, and not a number of type u8"), "{error}");
        let error = refused(table.column::<i64>("half"));
        assert!(error.contains("row 1, column `half`: `0.5`, and not a number of type i64"), "{error}");
        let error = refused(table.column::<bool>("label"));
        assert!(error.contains("row 2, column `label`: `2`, and not a number of type bool"), "{error}");
        for name in ["species", "lists", "day"] {
            let error = refused(table.column::<f32>(name));
            assert!(
                error.contains(&format!("column `{name}` is of type")) && error.contains("neither numbers"),
                "{error}"
            );
        }
        assert!(refused(table.texts("label")).contains("column `label` is of type Int32, which is no text"));
        assert!(refused(table.matrix::<f32>(&["label", "pixels"])).contains("`pixels` is of lists"));
        let error = refused(table.column::<f32>("labels"));
        assert!(error.contains("no column `labels` (there is: `weight`, `label`, "), "{error}");
    }
}

#[test]
fn a_stream_has_the_rows_of_all_groups_once() {
    for name in PARQUET.into_iter().chain(ARROW) {
        let digits = open(name, ["pixels", "code"]).unwrap();
        assert_eq!(digits.shards(), 3, "{name}");
        let loader = StreamLoader::builder(digits).batch_size(3).workers(1).build().unwrap();
        let mut codes = Vec::new();
        for batch in loader.epoch(0).unwrap() {
            let [pixels, code] = batch.unwrap().into_inner();
            assert_eq!((pixels.kind(), code.kind()), (Kind::Float, Kind::Int64));
            assert_eq!(pixels.size(), [code.size()[0], 3]);
            let rows = floats(&code).into_iter().map(|code| (code - 65000.0) * 10.0 + 1.0).collect::<Vec<_>>();
            assert_eq!(floats(&pixels.select(1, 1)), rows);
            codes.extend(floats(&code));
        }
        assert_eq!(codes, numbers(|row| 65000.0 + row), "{name}");
    }
}

#[test]
fn a_shard_is_opened_inside() {
    for name in ["snappy.parquet", "plain.arrow"] {
        let stream = open(name, ["weight"]).unwrap();
        for (skip, expected) in [(0, vec![4.25, 5.25, 6.25, 7.25]), (3, vec![7.25]), (4, vec![]), (9, vec![])] {
            let rows = stream.open_at(1, 0, skip).unwrap().collect::<Result<Vec<_>>>().unwrap();
            let found = if rows.is_empty() { Vec::new() } else { floats(&stream.collate(rows).unwrap()[0]) };
            assert_eq!(found, expected, "{name}, {skip}");
        }
    }
}

#[test]
fn a_streams_mistakes_are_told_with_their_group() {
    for (name, group) in [("snappy.parquet", "row group"), ("plain.arrow", "record batch")] {
        let of_shard = |columns: [&str; 1], skip| {
            open(name, columns).unwrap().open_at(1, 0, skip).and_then(|mut rows| rows.next().unwrap())
        };
        let error = refused(of_shard(["holes"], 0));
        assert!(
            error.ends_with(&format!(
                "{group} 1, row 1, column `holes`: null, which is no number; fill it or leave the row out"
            )),
            "{error}"
        );
        let error = refused(of_shard(["holed"], 1));
        assert!(error.contains(&format!("{group} 1, row 2, column `holed`: null")), "{error}");
        assert!(refused(open(name, ["weight", "day"])).contains("column `day` is of type"));
        assert!(refused(open(name, ["none"])).contains("no column `none`"));
    }
    let error = refused(stream::<1>(&[] as &[&Path], ["weight"]));
    assert!(error.contains("no files"), "{error}");
    assert!(refused(stream(&[file("stream.arrows")], ["weight"])).contains("stream.arrows: cannot be read"));
}

#[test]
fn files_that_do_not_fit_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.arrow");
    let array: arrow_array::ArrayRef = std::sync::Arc::new(arrow_array::Float32Array::from(vec![1.0, 2.0]));
    let batch = arrow_array::RecordBatch::try_from_iter([("weight", array)]).unwrap();
    let mut writer = arrow_ipc::writer::FileWriter::try_new(File::create(&path).unwrap(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let error = refused(stream(&[file("plain.arrow"), path.clone()], ["weight"]));
    assert!(error.starts_with(&format!("{}: column `weight` is [] of Float", path.display())), "{error}");
    assert!(error.contains("Double") && error.contains("plain.arrow"), "{error}");
}

/// A row group of more rows than are decoded at a time.
#[test]
fn a_row_group_is_read_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.parquet");
    let whole: arrow_array::ArrayRef = std::sync::Arc::new((0..9000).collect::<arrow_array::Int64Array>());
    let holes = (0..9000).map(|row| (row != 8500).then_some(row)).collect::<arrow_array::Int64Array>();
    let columns = [("whole", whole), ("holes", std::sync::Arc::new(holes) as _)];
    let batch = arrow_array::RecordBatch::try_from_iter(columns).unwrap();
    let writer = File::create(&path).unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(writer, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();

    let stream = parquet::stream(&[&path], ["whole"]).unwrap();
    assert_eq!(stream.shards(), 1);
    for skip in [0, 4096, 5000] {
        let rows = stream.open_at(0, 0, skip).unwrap().collect::<Result<Vec<_>>>().unwrap();
        let [numbers] = stream.collate(rows).unwrap();
        assert_eq!(Vec::<i64>::try_from(numbers).unwrap(), (skip as i64..9000).collect::<Vec<_>>());
    }
    for skip in [0, 5000] {
        let rows = parquet::stream(&[&path], ["holes"]).unwrap().open_at(0, 0, skip).unwrap();
        let error = refused(rows.collect::<Result<Vec<_>>>());
        assert!(error.contains("row group 0, row 8500, column `holes`: null"), "{error}");
    }
}

/// Cut at many places, and with bytes turned over, a file is an error or has its rows, and nothing panics.
#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["snappy.parquet", "zstd.arrow", "stream.arrows"] {
        let path = folder.path().join(name);
        let whole = std::fs::read(file(name)).unwrap();
        let read = || if name.ends_with("parquet") { parquet::read(&path) } else { read(&path) };
        for length in [0, 3, 8, whole.len() / 3, whole.len() - 9] {
            std::fs::write(&path, &whole[..length]).unwrap();
            // What a stream has before it is cut between two batches is whole.
            match read() {
                Ok(table) => assert!(name == "stream.arrows" && table.len() % 4 < 3, "{name}, {length}"),
                Err(error) => assert!(error.to_string().contains(&format!("{}: ", path.display())), "{error}"),
            }
        }
        for place in (0..whole.len()).step_by(whole.len() / 60) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0xff;
            std::fs::write(&path, &damaged).unwrap();
            if let Err(error) = read() {
                assert!(error.to_string().contains(&format!("{}: ", path.display())), "{error}");
            }
        }
    }
    assert!(refused(read("nowhere.arrow")).contains("cannot open nowhere.arrow"));
    assert!(refused(parquet::read("nowhere.parquet")).contains("cannot open nowhere.parquet"));
}
