package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/mattn/go-isatty"
	"go.opentelemetry.io/otel/trace"
)

// NewLogger makes a logger whose lines carry the trace, span and correlation ids of their context: JSON, or text where a person
// reads along on a terminal.
func NewLogger(out io.Writer, level slog.Leveler, text bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if text {
		return slog.New(idHandler{slog.NewTextHandler(out, options)})
	}
	return slog.New(idHandler{slog.NewJSONHandler(out, options)})
}

// ParseLevel reads debug, info, warn or error; an empty string is info.
func ParseLevel(name string) (slog.Level, error) {
	if name == "" {
		return slog.LevelInfo, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return 0, fmt.Errorf("log level %q: use debug, info, warn or error", name)
	}
	return level, nil
}

// onTerminal tells whether a person reads what is written.
func onTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// idHandler adds the ids of the context to each line.
type idHandler struct {
	slog.Handler
}

// Handle implements slog.Handler.
func (h idHandler) Handle(ctx context.Context, record slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	if id := Correlation(ctx); id != "" {
		record.AddAttrs(slog.String("correlation_id", id))
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (h idHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return idHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h idHandler) WithGroup(name string) slog.Handler { return idHandler{h.Handler.WithGroup(name)} }
