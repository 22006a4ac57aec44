package rpc

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// ReasonCallerNotAllowed refuses a call by a part of the suite that has no business making it, whatever token it carries.
const ReasonCallerNotAllowed = "CALLER_NOT_ALLOWED"

// allowCaller holds the certificate of the caller against the rule of the call. It returns Denied CALLER_NOT_ALLOWED with the
// caller's name. Clear text has no certificate to ask for, and is served in process and on loopback only: whoever connects there is
// this machine already, and the token decides.
func (c *chain) allowCaller(ctx context.Context, method string) error {
	if c.certs == nil {
		return nil
	}
	name, err := c.callerOf(ctx)
	if rule, _ := auth.RuleOf(method); err == nil && (rule.AllowsCaller(name) || name == c.self) {
		return nil
	}
	c.log.WarnContext(ctx, "caller refused", "method", method, "caller", name, "error", err)
	return fault.New(fault.Denied, ReasonCallerNotAllowed, "the call is not one that %q makes", name).With("caller", name)
}

// callerOf returns the name in the certificate of the connection.
func (c *chain) callerOf(ctx context.Context) (string, error) {
	var info credentials.TLSInfo
	if p, ok := peer.FromContext(ctx); ok {
		info, _ = p.AuthInfo.(credentials.TLSInfo)
	}
	return c.certs.Peer(info.State)
}
