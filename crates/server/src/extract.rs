//! What handlers take out of a request.

use axum::extract::{Path, State, rejection::PathRejection};

use crate::App;

/// The parts of the node.
pub(crate) type AppState = State<App>;

/// The id in a path, unless it is not even text.
pub(crate) type PathId = Result<Path<String>, PathRejection>;
