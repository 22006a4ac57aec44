package auth

import (
	"slices"
	"strings"

	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

// Names in certificates of those who make calls for others, and may make any: what is done with them is for the token to say.
const (
	// CallerGateway is the gateway, on behalf of whoever calls it.
	CallerGateway = "gateway"
	// CallerJobs is the command line: the job that closes months, and a person who runs commands.
	CallerJobs = "jobs"
	// CallerClient is a system of a finance team or a partner that calls gRPC itself.
	CallerClient = "client"
)

var outsideCallers = []string{CallerGateway, CallerJobs, CallerClient}

// CallerName is a service as its certificate names it, such as "core".
func CallerName(caller optionsv1.Caller) string {
	return strings.ToLower(strings.TrimPrefix(caller.String(), "CALLER_"))
}

// AllowsCaller tells whether the holder of a certificate by this name may make the call. A call without a rule is for nobody.
func (r MethodRule) AllowsCaller(name string) bool {
	return r.Declared && slices.Contains(r.Callers, name)
}
