package warm
import (
 _ "buf.build/go/protovalidate"
 _ "github.com/alecthomas/kong"
 _ "github.com/coreos/go-oidc/v3/oidc"
 _ "github.com/jackc/pgx/v5/stdlib"
 _ "github.com/nats-io/nats-server/v2/server"
 _ "github.com/nats-io/nats.go/jetstream"
 _ "github.com/pressly/goose/v3"
 _ "github.com/stretchr/testify/require"
 _ "github.com/swaggest/swgui/v5emb"
 _ "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
 _ "go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
 _ "go.opentelemetry.io/otel/exporters/prometheus"
 _ "modernc.org/sqlite"
 _ "pgregory.net/rapid"
 _ "github.com/pcnfunding/pcnfunding/services/gateway/gen/pcnfunding/core/v1"
)
