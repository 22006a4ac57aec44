// Package telemetry sets up what a process tells about itself: structured logs that carry trace and correlation ids, traces by
// OTLP as the standard OTEL_ variables ask, and metrics for Prometheus and by OTLP. It sets no global but OpenTelemetry's error handler.
package telemetry
