//! Values by their type: those that a program attaches to its routes, or to a request.

use std::any::{Any, type_name};
use std::fmt;

/// A few values, one of each type. An empty collection allocates nothing. A lookup goes through the
/// values one after another, because there are few.
#[derive(Default)]
pub(crate) struct Values(Vec<Value>);

struct Value {
    type_name: &'static str,
    value: Box<dyn Any + Send + Sync>,
}

impl Values {
    /// Adds a value, and returns the value of its type that it replaces.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) -> Option<T> {
        if let Some(old) = self.0.iter_mut().find_map(|old| old.value.downcast_mut()) {
            return Some(std::mem::replace(old, value));
        }
        self.0.push(Value { type_name: type_name::<T>(), value: Box::new(value) });
        None
    }

    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.iter().find_map(|value| value.value.downcast_ref())
    }

    /// Adds all values of another collection, or returns the name of a type that both have.
    pub fn append(&mut self, other: Self) -> Result<(), &'static str> {
        let type_of = |value: &Value| (*value.value).type_id();
        for value in other.0 {
            if self.0.iter().any(|old| type_of(old) == type_of(&value)) {
                return Err(value.type_name);
            }
            self.0.push(value);
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops all values. Only the check is inlined, because most requests have no values: without
    /// the check, the loop takes 21 instructions of each request.
    #[inline]
    pub fn clear(&mut self) {
        #[cold]
        fn drop_all(values: &mut Values) {
            values.0.clear();
        }
        if !self.is_empty() {
            drop_all(self);
        }
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Values({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_value_of_each_type() {
        let mut values = Values::default();
        assert_eq!(values.insert(1_u8), None);
        assert_eq!(values.insert("a"), None);
        assert_eq!(values.insert(2_u8), Some(1));
        assert_eq!(
            (values.get::<u8>(), values.get::<&str>(), values.get::<u16>()),
            (Some(&2), Some(&"a"), None)
        );
        values.clear();
        assert!(values.is_empty() && values.get::<u8>().is_none());
    }

    #[test]
    fn two_collections_have_no_type_in_common() {
        let mut values = Values::default();
        values.insert(1_u8);
        let mut others = Values::default();
        others.insert("a");
        assert_eq!(values.append(others), Ok(()));
        let mut others = Values::default();
        others.insert(2_u8);
        assert_eq!(values.append(others), Err("u8"));
    }
}
