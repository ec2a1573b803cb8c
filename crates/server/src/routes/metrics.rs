use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};

use crate::{extract::AppState, problem::Problem};

const OPENMETRICS_TYPE: &str = "application/openmetrics-text";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics for Prometheus
///
/// Names begin with `trunkline_`, but for the standard `process_*`. The outbox is counted for each scrape; while the database
/// is away, its gauges keep their last values.
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "Operate",
    responses((
        status = 200, description = "Prometheus text, or OpenMetrics if `Accept` asks for it.",
        content(
            (String = "text/plain; version=0.0.4; charset=utf-8"),
            (String = "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ),
    )),
)]
pub(crate) async fn metrics(State(app): AppState, headers: HeaderMap) -> Result<Response, Problem> {
    // A failure leaves the last values in place.
    let _ = app.engine().count_queues().await;
    let text = app
        .engine()
        .metrics()
        .render()
        .map_err(|error| Problem::bug(&error))?;
    let (content_type, text) = if accepts_openmetrics(&headers) {
        (OPENMETRICS, text)
    } else {
        (PROMETHEUS, to_prometheus(&text))
    };
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

fn accepts_openmetrics(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter();
    let mut ranges = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(OPENMETRICS_TYPE));
        let weight = parts.find_map(|part| part.to_ascii_lowercase().strip_prefix("q=")?.parse::<f32>().ok());
        named && weight != Some(0.0)
    })
}

/// OpenMetrics as Prometheus text 0.0.4, which declares a counter under the name of its samples, and neither units nor the end.
fn to_prometheus(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let counters: Vec<&str> = openmetrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    for line in openmetrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("UNIT" | "EOF"), ..) => continue,
            (Some("#"), Some(keyword), Some(name), Some(rest)) if counters.contains(&name) => {
                text.extend(["# ", keyword, " ", name, "_total ", rest]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_returned_only_if_accept_names_it() {
        let accepts = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, value.parse().unwrap());
            accepts_openmetrics(&headers)
        };
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for value in [
            prometheus,
            "text/plain, Application/OpenMetrics-Text; version=1.0.0",
        ] {
            assert!(accepts(value), "{value}");
        }
        for value in [
            "*/*",
            "text/plain",
            "text/plain;version=0.0.4;q=1,*/*;q=0.1",
            "application/openmetrics-text;q=0",
            "text/html",
        ] {
            assert!(!accepts(value), "{value}");
        }
        assert!(!accepts_openmetrics(&HeaderMap::new()));
    }

    #[test]
    fn prometheus_text_declares_counters_by_the_names_of_their_samples() {
        let openmetrics = "# HELP a Help of a.\n# TYPE a counter\na_total{b=\"c\"} 1\n\
             # HELP d_seconds Help.\n# TYPE d_seconds gauge\n# UNIT d_seconds seconds\nd_seconds 2\n# EOF\n";
        let prometheus = "# HELP a_total Help of a.\n# TYPE a_total counter\na_total{b=\"c\"} 1\n\
             # HELP d_seconds Help.\n# TYPE d_seconds gauge\nd_seconds 2\n";
        assert_eq!(to_prometheus(openmetrics), prometheus);
    }
}
