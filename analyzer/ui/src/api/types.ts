// Short names for the shapes of the analyzer's OpenAPI document, from which `npm run types` makes generated/api.d.ts.

import type { components } from "../../generated/api";

type Schemas = components["schemas"];

export type Status = Schemas["Status"];
export type LinkCounts = Schemas["LinkCounts"];
export type ServiceList = Schemas["ServiceList"];
export type Service = Schemas["Service"];
export type ServiceHealth = Schemas["ServiceHealth"];
export type HealthStatus = Schemas["HealthStatus"];
export type EdgeList = Schemas["EdgeList"];
export type Edge = Schemas["Edge"];
export type Node = Schemas["Node"];
export type EntryPoint = Schemas["EntryPoint"];
export type PerformanceMetrics = Schemas["PerformanceMetrics"];
export type TraceList = Schemas["TraceList"];
export type TraceSummary = Schemas["TraceSummary"];
export type TraceView = Schemas["TraceView"];
export type SpanView = Schemas["SpanView"];
export type Link = Schemas["Link"];
export type Certainty = Schemas["Certainty"];
export type CriticalPath = Schemas["CriticalPath"];
export type PathStep = Schemas["PathStep"];
