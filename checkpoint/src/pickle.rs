//! The part of Python's pickle that `torch.save` of a state dict is written in, as a tree of values.
//!
//! Pickle is a program for a machine with a stack, which can call anything. Here nothing is called: the few functions that a
//! state dict needs are known by name and are values of ours, and any other name ends the reading, as with PyTorch's own
//! `torch.load(weights_only=True)`. The opcodes are those that tensors need in protocol 2, which PyTorch writes unless told
//! otherwise, and in 3 and 4; Python's `pickletools` describes them.

use std::collections::HashMap;

use crate::safetensors::Dtype;

/// A value's place in [`Pickle::values`]: what is there once may be meant at several places.
pub(crate) type Id = usize;

/// What a pickle of tensors is made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// `None`, a float, bytes of none of our business.
    Other,
    Bool(bool),
    Int(i64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// A `dict` or an `OrderedDict`, in the order of its keys.
    Dict(Vec<(Id, Id)>),
    /// A function or class that is known here.
    Global(Global),
    Storage(Storage),
    Tensor(Tensor),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

/// The memory of one or several tensors: a file of its own in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) key: String,
    pub(crate) dtype: Dtype,
    pub(crate) elements: i64,
}

/// A window on a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tensor {
    pub(crate) storage: Storage,
    pub(crate) offset: i64,
    pub(crate) shape: Vec<i64>,
    pub(crate) strides: Vec<i64>,
}

/// All values, and the one that was pickled.
#[derive(Debug)]
pub(crate) struct Pickle {
    pub(crate) values: Vec<Value>,
    pub(crate) root: Id,
}

impl Global {
    fn named(module: &str, name: &str) -> Result<Self, String> {
        let global = match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch", storage) => dtype_of(storage).map(Self::Storage),
            _ => None,
        };
        global.ok_or_else(|| {
            format!(
                "it holds a `{module}.{name}`, and only dictionaries of dense tensors are read; in Python, save \
                 `model.state_dict()` alone"
            )
        })
    }
}

fn dtype_of(storage: &str) -> Option<Dtype> {
    Some(match storage {
        "BoolStorage" => Dtype::Bool,
        "ByteStorage" => Dtype::U8,
        "CharStorage" => Dtype::I8,
        "ShortStorage" => Dtype::I16,
        "IntStorage" => Dtype::I32,
        "LongStorage" => Dtype::I64,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "FloatStorage" => Dtype::F32,
        "DoubleStorage" => Dtype::F64,
        _ => return None,
    })
}

/// Reads a pickle to its end.
pub(crate) fn read(bytes: &[u8]) -> Result<Pickle, String> {
    let mut machine =
        Machine { rest: bytes, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        let at = bytes.len() - machine.rest.len();
        let step = machine.step().map_err(|reason| format!("byte {at} of its pickle: {reason}"))?;
        if let Some(root) = step {
            return Ok(Pickle { values: machine.values, root });
        }
    }
}

struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value>,
    stack: Vec<Id>,
    /// How long the stack was at each mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

const EMPTY_STACK: &str = "it takes a value from where there is none";

impl<'a> Machine<'a> {
    /// One opcode; at the last one what was pickled.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let [opcode] = self.take_array()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            // Protocol, frame: what they say is clear anyway.
            0x80 => {
                self.take(1)?;
            }
            0x95 => {
                self.take(8)?;
            }
            b'N' => self.push(Value::Other),
            b'G' => {
                self.take(8)?;
                self.push(Value::Other);
            }
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => {
                let [value] = self.take_array()?;
                self.push(Value::Int(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.take_array()?);
                self.push(Value::Int(value.into()));
            }
            b'J' => {
                let value = i32::from_le_bytes(self.take_array()?);
                self.push(Value::Int(value.into()));
            }
            0x8a => self.long()?,
            b'X' => {
                let length = u32::from_le_bytes(self.take_array()?);
                self.text(length as usize)?;
            }
            0x8c => {
                let [length] = self.take_array()?;
                self.text(length.into())?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.push(Value::Tuple(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items));
            }
            0x85..=0x87 => {
                let items = self.pop_last(usize::from(opcode - 0x84))?;
                self.push(Value::Tuple(items));
            }
            b'a' => {
                let items = self.pop_last(1)?;
                self.append(&items)?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let items = self.pop_last(2)?;
                self.set(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(&items)?;
            }
            b'q' => {
                let [place] = self.take_array()?;
                self.memorize(place.into())?;
            }
            b'r' => {
                let place = u32::from_le_bytes(self.take_array()?);
                self.memorize(place)?;
            }
            0x94 => self.memorize(self.memo.len() as u32)?,
            b'h' => {
                let [place] = self.take_array()?;
                self.recall(place.into())?;
            }
            b'j' => {
                let place = u32::from_le_bytes(self.take_array()?);
                self.recall(place)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(Global::named(&module, &name)?));
            }
            0x93 => {
                let names = self.pop_last(2)?;
                let global = Global::named(self.text_at(names[0])?, self.text_at(names[1])?)?;
                self.push(Value::Global(global));
            }
            b'Q' => self.persistent()?,
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            other => return Err(format!("opcode 0x{other:02x}, which no dictionary of tensors needs")),
        }
        Ok(None)
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.pop_last(1).map(|last| last[0])
    }

    /// So many of the stack's last, all behind the last mark.
    fn pop_last(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let from = self.stack.len().checked_sub(count).filter(|from| *from >= floor).ok_or(EMPTY_STACK)?;
        Ok(self.stack.split_off(from))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("it goes back to a mark that was never set")?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| EMPTY_STACK.to_owned())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("it is cut short")?;
        self.rest = rest;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or("it is cut short")?;
        self.rest = rest;
        Ok(*taken)
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').ok_or("it is cut short")?;
        let line = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Ok(line)
    }

    /// A whole number of up to 8 bytes, the sign in the last.
    fn long(&mut self) -> Result<(), String> {
        let [length] = self.take_array()?;
        let bytes = self.take(length.into())?;
        if bytes.len() > 8 {
            return Err("a whole number beyond 64 bits".to_owned());
        }
        let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut value = [fill; 8];
        value[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(value)));
        Ok(())
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = str::from_utf8(self.take(length)?).map_err(|_| "a text that is no UTF-8")?.to_owned();
        self.push(Value::Text(text));
        Ok(())
    }

    fn text_at(&self, id: Id) -> Result<&str, String> {
        match &self.values[id] {
            Value::Text(text) => Ok(text),
            _ => Err("something that should be a text and is none".to_owned()),
        }
    }

    fn int_at(&self, id: Id) -> Result<i64, String> {
        match self.values[id] {
            Value::Int(value) => Ok(value),
            _ => Err("something that should be a whole number and is none".to_owned()),
        }
    }

    fn ints_at(&self, id: Id) -> Result<Vec<i64>, String> {
        match &self.values[id] {
            Value::Tuple(items) => items.iter().map(|item| self.int_at(*item)).collect(),
            _ => Err("a shape that is no tuple".to_owned()),
        }
    }

    fn memorize(&mut self, place: u32) -> Result<(), String> {
        self.memo.insert(place, self.top()?);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<(), String> {
        let id = self.memo.get(&place).ok_or("it recalls what it has not stored")?;
        self.stack.push(*id);
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<(), String> {
        let list = self.top()?;
        let Value::List(list) = &mut self.values[list] else {
            return Err("it appends to something that is no list".to_owned());
        };
        list.extend_from_slice(items);
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let dict = self.top()?;
        let Value::Dict(dict) = &mut self.values[dict] else {
            return Err("it sets a key of something that is no dictionary".to_owned());
        };
        let (pairs, []) = items.as_chunks::<2>() else { return Err("a key without a value".to_owned()) };
        dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    /// What lies outside the pickle: `("storage", torch.FloatStorage, key, device, elements)`.
    fn persistent(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let Value::Tuple(items) = &self.values[id] else { return Err("a reference that is no tuple".to_owned()) };
        let [kind, class, key, _, elements] = items[..] else { return Err("a reference to no storage".to_owned()) };
        let (Value::Global(Global::Storage(dtype)), "storage") = (&self.values[class], self.text_at(kind)?) else {
            return Err("a reference to no storage".to_owned());
        };
        let storage = Storage { key: self.text_at(key)?.to_owned(), dtype: *dtype, elements: self.int_at(elements)? };
        self.push(Value::Storage(storage));
        Ok(())
    }

    /// A call, of which there are three kinds.
    fn reduce(&mut self) -> Result<(), String> {
        let [function, arguments] = self.pop_last(2)?[..] else { return Err(EMPTY_STACK.to_owned()) };
        let Value::Tuple(arguments) = &self.values[arguments] else {
            return Err("a call without arguments".to_owned());
        };
        match (&self.values[function], &arguments[..]) {
            (Value::Global(Global::OrderedDict), []) => self.push(Value::Dict(Vec::new())),
            // Then whether it has a gradient, its hooks, and perhaps notes, of which none matter here.
            (Value::Global(Global::RebuildTensor), &[storage, offset, shape, strides, _, _, ..]) => {
                let Value::Storage(storage) = &self.values[storage] else {
                    return Err("a tensor without a storage".to_owned());
                };
                let (offset, storage) = (self.int_at(offset)?, storage.clone());
                let tensor = Tensor { storage, offset, shape: self.ints_at(shape)?, strides: self.ints_at(strides)? };
                self.push(Value::Tensor(tensor));
            }
            (Value::Global(Global::RebuildParameter), &[tensor, ..]) => self.stack.push(tensor),
            (Value::Global(global), _) => {
                return Err(format!("a call of {global:?} with other arguments than PyTorch's"));
            }
            _ => return Err("a call of something that is no function".to_owned()),
        }
        Ok(())
    }

    /// Attributes of an object: an `OrderedDict` has its modules' versions there.
    fn build(&mut self) -> Result<(), String> {
        self.pop()?;
        let object = self.top()?;
        if matches!(self.values[object], Value::Dict(_)) {
            Ok(())
        } else {
            Err("attributes of no dictionary".to_owned())
        }
    }
}
