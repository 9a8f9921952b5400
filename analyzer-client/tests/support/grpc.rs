//! OTLP/gRPC by tonic and the services generated from OTLP's .proto files.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codec::CompressionEncoding::{self, Gzip, Zstd};
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

use super::{Came, Ledger, Receiver, Reply};

/// What a receiver can do.
#[derive(Clone)]
pub(crate) struct Ability {
    pub(crate) encodings: &'static [CompressionEncoding],
    pub(crate) metrics: bool,
    pub(crate) message_bytes_max: usize,
}

impl Default for Ability {
    fn default() -> Self {
        Self { encodings: &[Gzip, Zstd], metrics: true, message_bytes_max: 4 * 1024 * 1024 }
    }
}

/// Starts one that writes into a ledger; port 0 takes any.
pub(crate) fn receiver(address: SocketAddr, ledger: &Arc<Ledger>, ability: Ability) -> Receiver {
    let service = Service(ledger.clone());
    Receiver::start(address, move |listener| {
        Box::pin(async move {
            let mut traces =
                TraceServiceServer::new(service.clone()).max_decoding_message_size(ability.message_bytes_max);
            let mut metrics = MetricsServiceServer::new(service);
            for &encoding in ability.encodings {
                traces = traces.accept_compressed(encoding);
                metrics = metrics.accept_compressed(encoding);
            }
            Server::builder()
                .add_service(traces)
                .add_optional_service(ability.metrics.then_some(metrics))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .expect("it serves until it is ended");
        })
    })
}

#[derive(Clone)]
struct Service(Arc<Ledger>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let headers: std::collections::HashMap<String, String> = (request.metadata().as_ref().iter())
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        let encoding = headers.get("grpc-encoding").cloned();
        let came = Came { at: Instant::now(), encoding, headers, path: String::new() };
        let reply = self.0.came(came).await;
        let partial_success = match reply {
            Reply::Ok | Reply::Hold => None,
            Reply::Partial(rejected_spans, message) => {
                Some(ExportTracePartialSuccess { rejected_spans, error_message: message.into() })
            }
            Reply::Code(code, message) => return Err(Status::new(code, message)),
            Reply::RetryInfo(wait) => return Err(retry_info(wait)),
            Reply::Status(..) => unreachable!("that is for HTTP"),
        };
        self.0.take(request.get_ref());
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.take_metrics(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// `google.rpc.Status` and what it is made of, as far as is needed here.
fn retry_info(wait: Duration) -> Status {
    #[derive(Clone, PartialEq, Message)]
    struct Wait {
        #[prost(int64, tag = "1")]
        seconds: i64,
        #[prost(int32, tag = "2")]
        nanos: i32,
    }
    #[derive(Clone, PartialEq, Message)]
    struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        retry_delay: Option<Wait>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Any {
        #[prost(string, tag = "1")]
        type_url: String,
        #[prost(bytes = "vec", tag = "2")]
        value: Vec<u8>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Details {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
        #[prost(message, repeated, tag = "3")]
        details: Vec<Any>,
    }
    let retry_delay = Some(Wait { seconds: wait.as_secs() as i64, nanos: wait.subsec_nanos() as i32 });
    let other = Any { type_url: "type.googleapis.com/google.rpc.QuotaFailure".into(), value: vec![10, 0] };
    let info = Any {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
        value: RetryInfo { retry_delay }.encode_to_vec(),
    };
    let details = Details { code: 8, message: "full".into(), details: vec![other, info] };
    Status::with_details(Code::ResourceExhausted, "full", details.encode_to_vec().into())
}
