//! A small MCP server on the official Rust SDK.
//!
//!     server [--http PORT [--tls FOLDER]]    (without: stdio)

mod provider;

use std::{error::Error, net::SocketAddr, path::Path, time::Duration};

use axum_server::tls_rustls::RustlsConfig;
use rmcp::{
    RoleServer, ServerHandler, ServiceExt,
    handler::server::wrapper::Parameters,
    model::{
        ErrorData, GetPromptRequestParams, GetPromptResponse, ListPromptsResult,
        ListResourcesResult, PaginatedRequestParams, ReadResourceRequestParams,
        ReadResourceResponse, ServerCapabilities, ServerConfig,
    },
    service::RequestContext,
    tool, tool_handler, tool_router,
    transport::{
        stdio,
        streamable_http_server::{StreamableHttpService, session::local::LocalSessionManager},
    },
};
use serde::Deserialize;
use serde_json::json;

#[derive(Clone)]
struct Example;

#[derive(Deserialize, schemars::JsonSchema)]
struct Text {
    text: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Numbers {
    a: i64,
    b: i64,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Seconds {
    seconds: f64,
}

#[tool_router]
impl Example {
    #[tool]
    async fn echo(&self, Parameters(Text { text }): Parameters<Text>) -> String {
        text
    }

    #[tool]
    async fn add(&self, Parameters(Numbers { a, b }): Parameters<Numbers>) -> String {
        (a + b).to_string()
    }

    #[tool]
    async fn fail(&self) -> Result<String, String> {
        Err("this tool always fails".to_owned())
    }

    #[tool]
    async fn slow(&self, Parameters(Seconds { seconds }): Parameters<Seconds>) -> String {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        "done".to_owned()
    }
}

#[tool_handler]
impl ServerHandler for Example {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder();
        ServerConfig::new(
            capabilities
                .enable_tools()
                .enable_resources()
                .enable_prompts()
                .build(),
        )
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(value(
            json!({"resources": [{"uri": "note://one", "name": "one"}]}),
        ))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri != "note://one" {
            return Err(ErrorData::invalid_params("no such resource", None));
        }
        Ok(ReadResourceResponse::Complete(value(
            json!({"contents": [{"uri": "note://one", "text": "a note"}]}),
        )))
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(value(
            json!({"prompts": [{"name": "greet", "arguments": [{"name": "name"}]}]}),
        ))
    }

    async fn get_prompt(
        &self,
        _: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let content = json!({"type": "text", "text": "Greet somebody."});
        Ok(GetPromptResponse::Complete(value(
            json!({"messages": [{"role": "user", "content": content}]}),
        )))
    }
}

fn value<T: for<'de> Deserialize<'de>>(json: serde_json::Value) -> T {
    serde_json::from_value(json).expect("a model of the SDK")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("--http") {
        let port: u16 = arguments.next().ok_or("no port")?.parse()?;
        let service = StreamableHttpService::new(
            || Ok(Example),
            LocalSessionManager::default().into(),
            Default::default(),
        );
        let router = axum::Router::new().nest_service("/mcp", service);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if let (Some("--tls"), Some(folder)) = (arguments.next().as_deref(), arguments.next()) {
            provider::install();
            let file = |name| Path::new(&folder).join(name);
            let pair = RustlsConfig::from_pem_file(file("server.pem"), file("server.key")).await?;
            let server = axum_server::bind_rustls(address, pair);
            server.serve(router.into_make_service()).await?;
        } else {
            let listener = tokio::net::TcpListener::bind(address).await?;
            axum::serve(listener, router).await?;
        }
    } else {
        Example.serve(stdio()).await?.waiting().await?;
    }
    Ok(())
}
