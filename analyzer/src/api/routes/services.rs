//! Services: the list, their health, their traces, their neighbours.

use axum::extract::State;

use super::traces::PageWanted;
use crate::analysis::now_ns;
use crate::api::App;
use crate::api::extract::{Name, Params};
use crate::api::problem::{Answer, Problem};
use crate::api::query::{Home, Page, Window};
use crate::api::shown::{self, Wanted};
use crate::api::types::*;
use crate::store::TraceQuery;

/// Services, by name
#[utoipa::path(
    get,
    path = "/api/services",
    params(Window),
    responses(
        (status = 200, description = "Services, by name", body = Envelope<ServiceList>),
        (status = 400, description = "A parameter makes no sense; the text says which", body = Failure)
    ),
    tag = "services"
)]
pub(in crate::api) async fn list(State(app): State<App>, Params(window): Params<Window>) -> Answer {
    app.answer(move |work| Ok(shown::service_list(&work.snapshot(&window)?))).await
}

/// The health of every service, the worst first
#[utoipa::path(
    get,
    path = "/api/services/health",
    params(Window),
    responses(
        (status = 200, description = "The health of every service, the worst first", body = Envelope<Vec<ServiceHealth>>),
        (status = 400, description = "A parameter makes no sense; the text says which", body = Failure)
    ),
    tag = "services"
)]
pub(in crate::api) async fn health(State(app): State<App>, Params(window): Params<Window>) -> Answer {
    app.answer(move |work| Ok(shown::health(&work.snapshot(&window)?, now_ns()))).await
}

/// Traces in which a service took part, newest first
#[utoipa::path(
    get,
    path = "/api/services/{name}/traces",
    params(("name" = String, Path, description = "A service"), Page),
    responses(
        (status = 200, description = "Traces in which a service took part, newest first", body = Envelope<ServiceTraceList>),
        (status = 400, description = "A parameter makes no sense; the text says which", body = Failure),
        (status = 404, description = "There is no such service", body = Failure)
    ),
    tag = "services"
)]
pub(in crate::api) async fn traces(State(app): State<App>, Name(name): Name, Params(page): Params<Page>) -> Answer {
    let wanted = PageWanted::read(page.page, page.page_size, page.cursor.as_deref())?;
    let query = wanted.query(TraceQuery { service: Some(name.clone()), ..TraceQuery::default() });
    let answer = app.answer(move |work| {
        let rows = work.store().traces(&query)?;
        if rows.total == 0 && rows.rows.is_empty() {
            let everything = work.snapshot(&Window::default())?;
            let wanted = Wanted { service: Some(name.clone()), ..Wanted::default() };
            shown::dependencies_of(&everything, &wanted).ok_or_else(|| no_service(&name))?;
        }
        Ok(ServiceTraceList { service_name: name, list: wanted.shown(&rows) })
    });
    answer.await
}

/// Who a service calls, and who calls it
#[utoipa::path(
    get,
    path = "/api/services/{name}/dependencies",
    params(("name" = String, Path, description = "A service"), Home),
    responses(
        (status = 200, description = "Who a service calls, and who calls it", body = Envelope<ServiceDependencies>),
        (status = 400, description = "A parameter makes no sense; the text says which", body = Failure),
        (status = 404, description = "There is no such service in the window", body = Failure)
    ),
    tag = "services"
)]
pub(in crate::api) async fn dependencies(
    State(app): State<App>,
    Name(name): Name,
    Params(home): Params<Home>,
) -> Answer {
    let window = home.window();
    let Home { namespace, environment, .. } = home;
    let wanted = Wanted { service: Some(name.clone()), namespace, environment, ..Wanted::default() };
    let answer = app
        .answer(move |work| shown::dependencies_of(&work.snapshot(&window)?, &wanted).ok_or_else(|| no_service(&name)));
    answer.await
}

fn no_service(name: &str) -> Problem {
    Problem::NotFound(format!("there is no service `{name}`; /api/services lists those there are"))
}
