//! Checks query strings against the parameters in the routes' descriptions.

use std::collections::HashMap;

use axum::{
    extract::{MatchedPath, Query, Request},
    http::Method,
};
use domain::FieldError;
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Operation, ParameterIn},
};

use crate::problem::{Problem, unknown_name};

/// Routes with this tag ignore unknown parameters: a provider's message must not be lost for a formality.
const LENIENT_TAG: &str = "Receive";
/// Wrong parameters reported at most.
const ERRORS_MAX: usize = 20;

/// The query parameters of each strict route, by path and method.
pub(crate) struct QueryParameters(HashMap<(String, Method), Vec<String>>);

impl QueryParameters {
    pub(crate) fn of(description: &OpenApi) -> Self {
        let paths = description.paths.paths.iter();
        let operations = paths.flat_map(|(path, item)| {
            let operations = [
                (Method::GET, &item.get),
                (Method::HEAD, &item.get),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ];
            operations.into_iter().filter_map(|(method, operation)| {
                let operation = operation.as_ref().filter(|operation| !is_lenient(operation))?;
                Some(((path.clone(), method), names(operation)))
            })
        });
        Self(operations.collect())
    }

    /// Refuses parameters that are unknown, empty or given twice: without its filter, a listing would return too much.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Problem> {
        if request.uri().query().is_none_or(str::is_empty) {
            return Ok(());
        }
        let Some(route) = request.extensions().get::<MatchedPath>() else {
            return Ok(());
        };
        let route = (route.as_str().to_owned(), request.method().clone());
        let Some(known) = self.0.get(&route) else {
            return Ok(());
        };
        let Ok(Query(given)) = Query::<Vec<(String, String)>>::try_from_uri(request.uri()) else {
            return Err(Problem::invalid(vec![FieldError::new(
                "",
                "use a query string of name=value pairs",
            )]));
        };
        let mut errors = Vec::new();
        for (index, (name, value)) in given.iter().enumerate() {
            let error = if !known.contains(name) {
                let (name, detail) = unknown_name(name, known.iter().map(String::as_str));
                FieldError::new(name, detail)
            } else if given[..index].iter().any(|(earlier, _)| earlier == name) {
                FieldError::new(name, "is given more than once: give it once")
            } else if value.is_empty() {
                FieldError::new(name, "is empty: give it a value or leave it out")
            } else {
                continue;
            };
            errors.push(error);
            if errors.len() == ERRORS_MAX {
                break;
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::unknown_names(errors))
        }
    }
}

fn is_lenient(operation: &Operation) -> bool {
    operation.tags.iter().flatten().any(|tag| tag == LENIENT_TAG)
}

fn names(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten();
    let query = parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.clone()),
        _ => None,
    });
    query.collect()
}
