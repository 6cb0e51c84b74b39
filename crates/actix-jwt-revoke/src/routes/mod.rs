//! Routes to mount in an app or a scope.

mod companion;
mod logout;
mod oauth;
mod same_origin;
mod task;

use actix_web::{
    HttpResponse, Resource, Route,
    dev::ServiceRequest,
    guard::{self, GuardContext},
    http::{Method, header},
    middleware::from_fn,
    web,
};

pub use self::{
    companion::{Routes, routes},
    logout::{logout_route, logout_route_behind},
    oauth::{oauth_routes, well_known},
    same_origin::SameOrigin,
};

/// A path with one method; `HEAD` goes with `GET` (RFC 9110 §9.3.2). To other methods it answers 405
/// and the method there is.
fn resource(path: &str, method: &'static str, route: Route) -> Resource {
    let allow = match method {
        "GET" => "GET,HEAD",
        other => other,
    };
    let refuse = move |request: ServiceRequest| async move {
        let refusal = HttpResponse::MethodNotAllowed()
            .insert_header((header::ALLOW, allow))
            .finish();
        Ok(request.into_response(refusal))
    };
    let route = route.wrap(from_fn(task::on_own_task));
    let own = path.to_owned();
    web::resource(path)
        .guard(guard::fn_guard(move |request| {
            is_spelt_out(request.head().uri.path(), &own)
        }))
        .route(route.guard(guard::fn_guard(move |request| is(request, method))))
        .default_service(actix_web::dev::fn_service(refuse))
}

/// Whether the path of a request, as it came, ends in this path letter by letter. actix-web compares
/// what is left once letters are decoded, so that `/%61uth` is `/auth`: a proxy that guards paths, and
/// other frameworks, would see two.
fn is_spelt_out(sent: &str, own: &str) -> bool {
    match own.rsplit_once('/') {
        // The last segment is a parameter.
        Some((front, last)) if last.starts_with('{') => sent
            .rsplit_once('/')
            .is_some_and(|(sent, _)| sent.ends_with(front)),
        _ => sent.ends_with(own),
    }
}

fn is(request: &GuardContext<'_>, method: &str) -> bool {
    match request.head().method {
        Method::HEAD => method == "GET",
        ref other => other.as_str() == method,
    }
}
