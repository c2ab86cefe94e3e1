//! Futures of handlers, in memory that is used again: where a future of the same
//! type has been, the next is put.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::base::guard::guarded;
use crate::base::spare::Spares;
use crate::message::{IntoResponse, Response};

/// The largest future whose place is kept, bytes.
const LARGEST_SPARE: usize = 4 * 1024;

type Place = Pin<Box<dyn Seat>>;

thread_local! {
    static PLACES: Spares<Place> = const { Spares::new() };
}

/// Room for a future of one type, or the future.
trait Seat: Send {
    /// Takes a future in, an `Option` of it, if it is of that type.
    fn seat(self: Pin<&mut Self>, future: &mut dyn Any) -> bool;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response>;
    fn clear(self: Pin<&mut Self>);
}

impl<F: Future<Output: IntoResponse> + Send + 'static> Seat for Option<F> {
    fn seat(mut self: Pin<&mut Self>, future: &mut dyn Any) -> bool {
        match future.downcast_mut::<Self>() {
            Some(future) => {
                self.set(future.take());
                true
            }
            None => false,
        }
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        match self.as_pin_mut() {
            Some(future) => future.poll(cx).map(IntoResponse::into_response),
            None => Poll::Pending,
        }
    }

    fn clear(mut self: Pin<&mut Self>) {
        self.set(None);
    }
}

/// A future that makes a response.
pub(crate) struct Answering(
    /// `None` only while it is dropped.
    Option<Place>,
);

impl Answering {
    pub fn new(future: impl Future<Output: IntoResponse> + Send + 'static) -> Self {
        let mut future = Some(future);
        let place = PLACES.with(|places| places.find(|place| place.as_mut().seat(&mut future)));
        Self(Some(place.unwrap_or_else(|| Box::pin(future))))
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Response> {
        self.0.as_mut().map_or(Poll::Pending, |place| place.as_mut().poll(cx))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(mut place) = self.0.take() {
            // A panic in a destructor of the host must not cost the connection, whose answer may
            // be made already. The place is then not used again.
            guarded("a handler that was dropped", move || {
                place.as_mut().clear();
                if size_of_val(&*place) <= LARGEST_SPARE {
                    // When a thread ends, its spares may be gone before its last request.
                    let _ = PLACES.try_with(|places| places.give(place));
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::ptr;
    use std::sync::Arc;

    use futures_lite::future::{block_on, poll_fn};

    use super::*;

    fn at(answering: &Answering) -> *const () {
        ptr::from_ref(&**answering.0.as_ref().unwrap()).cast()
    }

    fn answer(mut answering: Answering) -> Vec<u8> {
        let response = block_on(poll_fn(|cx| answering.poll(cx)));
        response.into_body().as_bytes().unwrap().to_vec()
    }

    #[test]
    fn a_future_is_put_where_one_of_its_type_has_been() {
        let first = Answering::new(ready("first"));
        let place = at(&first);
        assert_eq!(answer(first), b"first");
        let other = Answering::new(ready(String::from("other")));
        assert_ne!(at(&other), place);
        let next = Answering::new(ready("next"));
        assert_eq!(at(&next), place);
        assert_eq!(answer(next), b"next");
        assert_eq!(answer(other), b"other");
    }

    #[test]
    fn what_a_future_holds_goes_with_it() {
        let held = Arc::new(());
        let holding = Arc::clone(&held);
        let answering = Answering::new(async move {
            std::future::pending::<()>().await;
            drop(holding);
        });
        assert_eq!(Arc::strong_count(&held), 2);
        drop(answering);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
