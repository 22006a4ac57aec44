package telemetry

import "context"

type correlationKey struct{}

// WithCorrelation returns a context whose log lines carry the correlation id of the request.
func WithCorrelation(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, correlationKey{}, id)
}

// Correlation returns the correlation id of the request, or an empty string outside one.
func Correlation(ctx context.Context) string {
	id, _ := ctx.Value(correlationKey{}).(string)
	return id
}
