// Package gateway is the REST side of the suite: JSON over HTTP in, the same gRPC calls out, over client connections, so that
// every interceptor of a service runs for REST too. It holds no data and decides nothing: tokens, roles and rules are judged by
// the services. What it adds is form: problem details (RFC 9457) for every error, entity tags, idempotency keys, file upload and
// download as bodies, the OpenAPI document with its reference page, and the health endpoints.
package gateway
