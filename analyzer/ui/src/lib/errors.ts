// What counts as an error depends on who counts. OpenTelemetry's conventions say so, and the page must, wherever a
// caller's number stands near a service's own.

/** Beside numbers of edges: what is counted. */
export const CALLERS_ERRORS = "4xx and 5xx as callers see them";

/** Beside numbers of services. */
export const SERVICES_ERRORS = "5xx as services see them";

/** Why the two differ. */
export const ERRORS_DIFFER =
  "A caller counts every answer of 400 or above as an error, and none at all. The service that answers counts 5xx " +
  "alone: a refusal is what it meant to say. So a declined request is an error on the edge, and the service is healthy.";
