//! Arrow's arrays as tensors.

use std::any::type_name;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType};
use arrow_schema::DataType;
use tch::kind::Element;
use tch::{Kind, Tensor};

use super::Place;
use crate::error::{Error, Result};

/// The dtype of a column's tensor and the sizes beside the rows.
pub(super) fn shape(path: &std::path::Path, column: &str, of: &DataType) -> Result<(Kind, Vec<i64>)> {
    let mut sizes = Vec::new();
    let mut inner = of;
    while let DataType::FixedSizeList(field, width) = inner {
        sizes.push(i64::from(*width));
        inner = field.data_type();
    }
    let kind = match inner {
        DataType::Float16 => Kind::Half,
        DataType::Float32 => Kind::Float,
        DataType::Float64 => Kind::Double,
        DataType::Int8 => Kind::Int8,
        DataType::Int16 => Kind::Int16,
        DataType::Int32 => Kind::Int,
        DataType::UInt8 => Kind::Uint8,
        // libtorch has no dtype of its own for the larger unsigned that its operations take.
        DataType::Int64 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => Kind::Int64,
        DataType::Boolean => Kind::Bool,
        _ => {
            return Err(Error::data_file(
                path,
                format!("column `{column}` is of type {of}, which is neither numbers nor fixed-size lists of numbers"),
            ));
        }
    };
    Ok((kind, sizes))
}

/// A column's numbers, `[rows, …]`, of the dtype that they have in the file.
pub(super) fn tensor(array: &dyn Array, at: &Place<'_>) -> Result<Tensor> {
    let (kind, sizes) = shape(at.path, at.column, array.data_type())?;
    let per_row = sizes.iter().product::<i64>() as usize;
    let size: Vec<i64> = std::iter::once(array.len() as i64).chain(sizes).collect();
    no_null(array, 1, at)?;
    let mut values = array;
    let mut lists = 1;
    while let Some(list) = values.as_fixed_size_list_opt() {
        lists *= list.value_length() as usize;
        values = list.values().as_ref();
        no_null(values, lists, at)?;
    }
    let flat = match values.data_type() {
        DataType::Float16 => numbers::<Float16Type>(values)?,
        DataType::Float32 => numbers::<Float32Type>(values)?,
        DataType::Float64 => numbers::<Float64Type>(values)?,
        DataType::Int8 => numbers::<Int8Type>(values)?,
        DataType::Int16 => numbers::<Int16Type>(values)?,
        DataType::Int32 => numbers::<Int32Type>(values)?,
        DataType::Int64 => numbers::<Int64Type>(values)?,
        DataType::UInt8 => numbers::<UInt8Type>(values)?,
        DataType::UInt16 => counts::<UInt16Type>(values, per_row, at)?,
        DataType::UInt32 => counts::<UInt32Type>(values, per_row, at)?,
        DataType::UInt64 => counts::<UInt64Type>(values, per_row, at)?,
        _ => Tensor::f_from_slice(&values.as_boolean().values().iter().collect::<Vec<bool>>())?,
    };
    debug_assert_eq!(flat.kind(), kind);
    Ok(flat.f_view(size.as_slice())?)
}

fn no_null(array: &dyn Array, per_row: usize, at: &Place<'_>) -> Result<()> {
    match array.logical_nulls().and_then(|nulls| (0..nulls.len()).find(|&place| nulls.is_null(place))) {
        Some(place) => {
            Err(at.refused(place / per_row.max(1), "null, which is no number; fill it or leave the row out"))
        }
        None => Ok(()),
    }
}

fn numbers<P: ArrowPrimitiveType<Native: Element>>(array: &dyn Array) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(array.as_primitive::<P>().values())?)
}

fn counts<P: ArrowPrimitiveType<Native: TryInto<i64>>>(
    array: &dyn Array,
    per_row: usize,
    at: &Place<'_>,
) -> Result<Tensor> {
    let number = |(place, &count): (usize, &P::Native)| {
        let refused = |_| at.refused(place / per_row.max(1), &format!("{count:?} is too large for an int64 tensor"));
        count.try_into().map_err(refused)
    };
    let numbers = array.as_primitive::<P>().values().iter().enumerate().map(number).collect::<Result<Vec<i64>>>()?;
    Ok(Tensor::f_from_slice(&numbers)?)
}

/// The tensor `[rows, …]` in the dtype of `T`. What an integer or a truth value cannot hold is refused; floats are rounded.
pub(super) fn converted<T: Element>(tensor: Tensor, at: &Place<'_>) -> Result<Tensor> {
    if tensor.kind() == T::KIND {
        return Ok(tensor);
    }
    let converted = tensor.f_to_kind(T::KIND)?;
    if matches!(T::KIND, Kind::Uint8 | Kind::Int8 | Kind::Int16 | Kind::Int | Kind::Int64 | Kind::Bool) {
        let other = converted.f_to_kind(tensor.kind())?.f_ne_tensor(&tensor)?.f_flatten(0, -1)?.f_nonzero()?;
        if other.size()[0] > 0 {
            let place = other.f_int64_value(&[0, 0])?;
            let per_row: i64 = tensor.size()[1..].iter().product();
            let value = tensor.f_flatten(0, -1)?.f_double_value(&[place])?;
            let row = (place / per_row.max(1)) as usize;
            return Err(at.refused(row, &format!("`{value}`, and not a number of type {}", type_name::<T>())));
        }
    }
    Ok(converted)
}
