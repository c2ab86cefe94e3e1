//! Spans: one for each request, with the names of OpenTelemetry, around what its handler does.

mod common;

const MODEL: Model = Model::EventDriven;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use transom::{
    Handle, HttpError, Method, Model, Request, Route, Router, Server, StatusCode, TraceContext, Tracing,
    blocking,
};

use common::{Client, PATIENCE, SHORT, configured, eventually, own_address};

const MODELS: [Model; 3] = [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

type Fields = BTreeMap<String, String>;

/// The spans that have ended, with their fields, and an event in a span as its field `event`.
static ENDED: Mutex<Vec<Fields>> = Mutex::new(Vec::new());

struct Kept;

#[derive(Default)]
struct Values(Fields);

impl Visit for Values {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Kept {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut values = Values::default();
        attributes.record(&mut values);
        context.span(id).unwrap().extensions_mut().insert(values);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        record.record(context.span(id).unwrap().extensions_mut().get_mut::<Values>().unwrap());
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if let Some(span) = context.event_span(event)
            && let Some(values) = span.extensions_mut().get_mut::<Values>()
        {
            let mut told = Values::default();
            event.record(&mut told);
            values.0.insert("event".to_owned(), told.0["message"].clone());
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let values = context.span(&id).unwrap().extensions_mut().remove::<Values>().unwrap();
        ENDED.lock().unwrap().push(values.0);
    }
}

fn start(model: Model, server: Server) -> Handle {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Kept)).unwrap();
    });
    server.model(model).workers(1).bind(&own_address()).unwrap().start().unwrap()
}

/// Waits for a span with that value of a field. Tests run side by side, so each has its own.
#[track_caller]
fn span(field: &str, value: &str) -> Fields {
    let find =
        || ENDED.lock().unwrap().iter().find(|span| span.get(field).is_some_and(|it| it == value)).cloned();
    eventually(&format!("a span with {field}={value}"), || find().is_some());
    find().unwrap()
}

fn values<'a>(span: &'a Fields, names: &[&str]) -> Vec<&'a str> {
    names.iter().map(|name| span.get(*name).map_or("-", String::as_str)).collect()
}

#[test]
fn a_request_is_a_span_with_the_names_of_opentelemetry_around_its_handler() {
    for model in MODELS {
        let app = Router::new()
            .get("/users/{id}", async |req: Request| {
                futures_lite::future::yield_now().await;
                tracing::info!("in the handler");
                TraceContext::of(&req).unwrap().child().to_string()
            })
            .get(
                "/blocks",
                blocking(|req: Request| {
                    let _in_span = req.get::<tracing::Span>().unwrap().enter();
                    tracing::info!("on the pool");
                    "done"
                }),
            )
            .wrap(Tracing::new().traceresponse());
        let server = start(model, configured(app, |_, _| ()).trace_refusals());
        let mut client = Client::connect(&server);
        let path = format!("/users/{}", model as usize);
        client.send(format!(
            "GET {path}?a=b HTTP/1.1\r\nHost: h\r\nUser-Agent: me\r\ntraceparent: {PARENT}\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        let span_of = span("url.path", &path);
        let names = [
            "otel.name",
            "otel.kind",
            "otel.status_code",
            "http.request.method",
            "url.query",
            "url.scheme",
            "http.route",
            "network.protocol.version",
            "client.address",
            "user_agent.original",
            "http.response.status_code",
            "error.type",
            "trace_id",
            "parent_id",
            "event",
        ];
        assert_eq!(
            values(&span_of, &names),
            [
                "GET /users/{id}",
                "server",
                "-",
                "GET",
                "a=b",
                "http",
                "/users/{id}",
                "1.1",
                "127.0.0.1",
                "me",
                "200",
                "-",
                "0af7651916cd43dd8448eb211c80319c",
                "b7ad6b7169203331",
                "in the handler",
            ],
            "{model}"
        );
        let own = TraceContext::parse(answer.header("traceresponse").unwrap()).unwrap();
        assert_eq!(format!("{:016x}", own.parent_id().unwrap()), span_of["span_id"], "{model}");
        let onward = TraceContext::parse(answer.text()).unwrap();
        assert_eq!(onward.trace_id(), own.trace_id(), "{model}");
        assert_ne!(onward.parent_id(), own.parent_id(), "{model}");

        // Without a valid traceparent, the trace begins here.
        client.send("GET /blocks HTTP/1.1\r\nHost: h\r\ntraceparent: 00-forged\r\n\r\n");
        let answer = client.answer();
        answer.expect(200, "done");
        let root = TraceContext::parse(answer.header("traceresponse").unwrap()).unwrap();
        let span_of = span("trace_id", &format!("{:032x}", root.trace_id()));
        assert_eq!(values(&span_of, &["parent_id", "event"]), ["-", "on the pool"], "{model}");
    }
}

#[test]
fn answers_of_the_router_and_errors_are_spans_too() {
    let app = Router::new()
        .get("/panics", async |_: Request| -> &'static str { panic!("on purpose") })
        .get("/teapot", async |_: Request| -> Result<&'static str, HttpError> {
            Err(HttpError::respond(StatusCode::IM_A_TEAPOT))
        })
        .route(
            Route::new(Method::GET, "/late", async |_: Request| {
                common::forever().await;
                "never"
            })
            .timeout(SHORT),
        )
        .wrap(Tracing::new());
    let server = start(MODEL, configured(app, |_, _| ()).trace_refusals());
    for (target, status, expected) in [
        ("/panics", 500, ["GET /panics", "500", "ERROR", "500"]),
        ("/teapot", 418, ["GET /teapot", "418", "-", "-"]),
        ("/nowhere-at-all", 404, ["GET", "404", "-", "-"]),
        ("/late", 503, ["GET /late", "-", "ERROR", "cut"]),
    ] {
        assert_eq!(Client::connect(&server).get(target).status, status);
        let names = ["otel.name", "http.response.status_code", "otel.status_code", "error.type"];
        assert_eq!(values(&span("url.path", target), &names), expected, "{target}");
    }
}

#[test]
fn what_is_refused_before_a_handler_is_a_span_and_no_request_is_two() {
    let app = Router::new().post("/taken", async |_: Request| "taken").wrap(Tracing::new());
    let server = configured(app, |limits, _| limits.body = 10).trace_refusals();
    let server = start(MODEL, server.allow_hosts(["host"]));
    let ask = |request: String, status: u16| {
        let mut client = Client::connect(&server);
        client.send(request);
        assert_eq!(client.answer().status, status);
    };
    let head = "HTTP/1.1\r\nHost: host\r\nConnection: close\r\n";
    ask("POST /without-a-host HTTP/1.1\r\n\r\n".to_owned(), 400);
    ask("POST /foreign HTTP/1.1\r\nHost: other\r\n\r\n".to_owned(), 421);
    ask(format!("POST /taken?large {head}Content-Length: 11\r\n\r\n"), 413);
    ask(format!("POST /taken?chunks {head}Transfer-Encoding: chunked\r\n\r\nx"), 400);
    ask(format!("POST /taken?well {head}Content-Length: 2\r\n\r\nab"), 200);
    let names = ["url.path", "http.response.status_code", "error.type", "otel.status_code"];
    for (field, value, expected) in [
        ("error.type", "missing-host", ["-", "400", "missing-host", "-"]),
        ("url.path", "/foreign", ["/foreign", "421", "foreign-host", "-"]),
        ("url.query", "large", ["/taken", "413", "body-too-large", "-"]),
        ("url.query", "chunks", ["/taken", "400", "bad-chunk", "-"]),
        ("url.query", "well", ["/taken", "200", "-", "-"]),
    ] {
        assert_eq!(values(&span(field, value), &names), expected, "{value}");
    }
    server.stop(PATIENCE);
    for query in ["large", "chunks", "well"] {
        let ended = ENDED.lock().unwrap();
        let spans = ended.iter().filter(|span| span.get("url.query").is_some_and(|it| it == query));
        assert_eq!(spans.count(), 1, "{query}");
    }
}
