package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/certs"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// openServices need no token and no room: probes must be answered by a server that is full.
var openServices = []string{"/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"}

func open(method string) bool {
	for _, prefix := range openServices {
		if strings.HasPrefix(method, prefix) {
			return true
		}
	}
	return false
}

// chain is what happens around every handler of a server.
type chain struct {
	log       *slog.Logger
	certs     *certs.Source // nil in clear text
	self      string
	verifier  auth.Verifier
	validator protovalidate.Validator
	unaries   *bound
	streams   *bound
	shares    *shares
	rates     *rates
	timeout   time.Duration
	bulk      time.Duration
	idle      time.Duration
	observe   func(ctx context.Context, method string, answer any, err error)
}

// unary runs one unary call through the chain.
func (c *chain) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	if open(info.FullMethod) {
		return handler(ctx, req)
	}
	md, _ := metadata.FromIncomingContext(ctx)
	ctx, id := correlate(ctx, md)
	defer func() {
		if cause := recover(); cause != nil {
			err = panicked(cause)
		}
		c.observe(ctx, info.FullMethod, resp, err)
		if err != nil {
			// A trailer, for a header would tell the client that the answer has begun and forbid it to retry.
			c.noted(ctx, grpc.SetTrailer(ctx, metadata.Pairs(KeyCorrelationID, id)))
			resp, err = nil, c.refuse(ctx, info.FullMethod, id, err)
		}
	}()
	if err := c.allowCaller(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	ctx, cancel := withinTime(ctx, c.timeout)
	defer cancel()
	leave, err := c.unaries.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, principal, err := c.authenticate(ctx, md, info.FullMethod)
	if err != nil {
		return nil, err
	}
	if err := c.admit(ctx, md, principal, info.FullMethod, req); err != nil {
		return nil, err
	}
	resp, err = handler(ctx, req)
	if err != nil {
		return nil, err
	}
	header := metadata.Pairs(KeyCorrelationID, id)
	if tag := etagOf(resp); tag != "" {
		header.Set(KeyETag, tag)
	}
	c.noted(ctx, grpc.SetHeader(ctx, header))
	return resp, nil
}

// stream runs one streaming call through the chain.
func (c *chain) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	if open(info.FullMethod) {
		return handler(srv, ss)
	}
	md, _ := metadata.FromIncomingContext(ss.Context())
	ctx, id := correlate(ss.Context(), md)
	var checked *checkedStream
	defer func() {
		if cause := recover(); cause != nil {
			err = panicked(cause)
		}
		c.observe(ctx, info.FullMethod, checked.answer(), err)
		if err != nil {
			ss.SetTrailer(metadata.Pairs(KeyCorrelationID, id))
			err = c.refuse(ctx, info.FullMethod, id, err)
		}
	}()
	if err := c.allowCaller(ctx, info.FullMethod); err != nil {
		return err
	}
	ctx, cancel := withinTime(ctx, c.bulk)
	defer cancel()
	leave, err := c.streams.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	ctx, principal, err := c.authenticate(ctx, md, info.FullMethod)
	if err != nil {
		return err
	}
	if err := auth.AuthoriseRole(principal, info.FullMethod); err != nil {
		return err
	}
	release, err := c.shares.enter(principal.Subject)
	if err != nil {
		return err
	}
	defer release()
	checked = &checkedStream{
		ServerStream: ss, ctx: ctx, chain: c, md: md, principal: principal, method: info.FullMethod, id: id,
	}
	return handler(srv, checked)
}

// authenticate verifies the bearer token and puts its principal into the context, as it counts in the call; the caller's rate is counted
// here, where they are first known.
func (c *chain) authenticate(ctx context.Context, md metadata.MD, method string) (context.Context, auth.Principal, error) {
	principal, err := c.verifier.Verify(ctx, bearer(md))
	if err != nil {
		return ctx, auth.Principal{}, err
	}
	if err := c.rates.take(principal.Subject); err != nil {
		return ctx, auth.Principal{}, err
	}
	principal = principal.In(method)
	return auth.With(ctx, principal), principal, nil
}

// admit authorises a request, completes it from metadata and validates it.
func (c *chain) admit(ctx context.Context, md metadata.MD, principal auth.Principal, method string, req any) error {
	message, ok := req.(proto.Message)
	if !ok {
		return fmt.Errorf("the request of %s is no protobuf message but %T", method, req)
	}
	if err := checkDecoded(message); err != nil {
		return err
	}
	if err := auth.Authorise(ctx, principal, method, message); err != nil {
		return err
	}
	if err := fillFromMetadata(md, message); err != nil {
		return err
	}
	return validate(c.validator, message)
}

// noted logs that response metadata could not be set. The answer goes out without it.
func (c *chain) noted(ctx context.Context, err error) {
	if err != nil {
		c.log.WarnContext(ctx, "response metadata not set", "error", err)
	}
}

// refuse logs an error as its kind deserves and turns it into the status that the caller sees.
func (c *chain) refuse(ctx context.Context, method, id string, err error) error {
	st := Status(err)
	attributes := []any{"method", method, "code", st.Code().String()}
	if principal, ok := auth.From(ctx); ok {
		attributes = append(attributes, "subject", principal.Subject)
	}
	switch st.Code() {
	case codes.Internal, codes.Unknown, codes.DataLoss:
		c.log.ErrorContext(ctx, "call failed", append(attributes, "error", err.Error())...)
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Aborted:
		c.log.WarnContext(ctx, "call not served", append(attributes, "reason", fault.ReasonOf(err), "error", err.Error())...)
	default:
		c.log.DebugContext(ctx, "call refused", append(attributes, "reason", fault.ReasonOf(err))...)
	}
	return withCorrelation(st, id).Err()
}

// panicked is an ordinary error, so that a panic is masked as any other and its stack is logged.
func panicked(cause any) error { return fmt.Errorf("panic: %v\n%s", cause, debug.Stack()) }

// checkedStream authorises, completes and validates each message that a stream receives.
type checkedStream struct {
	grpc.ServerStream
	ctx       context.Context //nolint:containedctx // a stream is the one place where gRPC asks for it
	chain     *chain
	md        metadata.MD
	principal auth.Principal
	method    string
	id        string
	sent      any // the last message; handlers send from one goroutine, as gRPC asks
}

// answer is the last message sent, nil before the first.
func (s *checkedStream) answer() any {
	if s == nil {
		return nil
	}
	return s.sent
}

// Context returns the context with the principal, the correlation id and the deadline.
func (s *checkedStream) Context() context.Context { return s.ctx }

// RecvMsg receives a message and admits it as a unary request would be.
func (s *checkedStream) RecvMsg(m any) error {
	if err := receiveWithin(s.ctx, s.chain.idle, func() error { return s.ServerStream.RecvMsg(m) }); err != nil {
		return err
	}
	return s.chain.admit(s.ctx, s.md, s.principal, s.method, m)
}

// SendMsg sends a message, the first with the correlation id as a header.
func (s *checkedStream) SendMsg(m any) error {
	if s.sent == nil {
		s.chain.noted(s.ctx, s.SetHeader(metadata.Pairs(KeyCorrelationID, s.id)))
	}
	s.sent = m
	return s.ServerStream.SendMsg(m)
}
