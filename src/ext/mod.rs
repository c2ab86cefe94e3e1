//! Extensions: what stands on the public API alone. Each file here can be deleted.

#[cfg(any(feature = "compression", feature = "files"))]
mod accept_encoding;
#[cfg(feature = "access-log")]
mod access_log;
#[cfg(feature = "compression")]
mod compression;
#[cfg(feature = "cookies")]
mod cookies;
#[cfg(feature = "files")]
mod files;
#[cfg(feature = "forms")]
mod forms;
#[cfg(feature = "metrics")]
mod histogram;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "middleware")]
mod middleware;
#[cfg(any(feature = "access-log", feature = "metrics"))]
mod per_thread;
#[cfg(feature = "metrics")]
mod process;
#[cfg(feature = "metrics")]
mod prometheus;
#[cfg(feature = "metrics")]
mod series;
#[cfg(feature = "metrics")]
mod shard;
#[cfg(any(feature = "sse", feature = "websocket"))]
mod slow_reader;
#[cfg(feature = "sse")]
mod sse;
#[cfg(feature = "status")]
mod status;
#[cfg(feature = "metrics")]
mod totals;
#[cfg(feature = "tower")]
mod tower;
#[cfg(feature = "tracing")]
mod trace_context;
#[cfg(feature = "tracing")]
mod tracing;
#[cfg(feature = "metrics")]
mod value;
#[cfg(feature = "websocket")]
mod websocket;

#[cfg(feature = "compression")]
pub use accept_encoding::Coding;
#[cfg(feature = "access-log")]
pub use access_log::{AccessLog, LogFormat};
#[cfg(feature = "compression")]
pub use compression::{Compression, Decompression};
#[cfg(feature = "cookies")]
pub use cookies::{BadCookie, Cookies, SameSite, SetCookie, SigningKeys};
#[cfg(feature = "files")]
pub use files::Files;
#[cfg(feature = "forms")]
pub use forms::{Form, FormError, FormLimits, Multipart, Part, UploadFile};
#[cfg(feature = "metrics")]
pub use histogram::Histogram;
#[cfg(feature = "metrics")]
pub use metrics::{Metrics, MetricsSnapshot};
#[cfg(feature = "middleware")]
pub use middleware::{
    BasicAuth, BearerAuth, CacheControl, CanonicalHost, ConcurrencyLimit, Cors, RateLimit, RequestId,
    RequestIds, SecurityHeaders, TrailingSlash,
};
#[cfg(feature = "metrics")]
pub use series::ExchangeSeries;
#[cfg(any(feature = "sse", feature = "websocket"))]
pub use slow_reader::SlowReader;
#[cfg(feature = "sse")]
pub use sse::{EventBroadcast, EventSendError, EventSender, InvalidEvent, ServerSentEvent, ServerSentEvents};
#[cfg(feature = "status")]
pub use status::StatusPage;
#[cfg(feature = "tower")]
pub use tower::{RouterService, TowerHandler, tower_service};
#[cfg(feature = "tracing")]
pub use trace_context::TraceContext;
#[cfg(feature = "tracing")]
pub use tracing::Tracing;
#[cfg(feature = "metrics")]
pub use value::{MetricKind, MetricValue};
#[cfg(feature = "websocket")]
pub use websocket::{
    Broadcast, WebSocket, WebSocketClosed, WebSocketMessage, WebSocketOutcome, WebSocketPiece,
    WebSocketRefusal, WebSocketSendError, WebSocketSender, WebSocketUpgrade,
};
