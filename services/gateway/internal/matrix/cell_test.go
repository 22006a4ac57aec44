package matrix

import (
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

// outcome is what an answer says of the right to make a call.
type outcome string

const (
	noToken  outcome = "asked for a token"
	noRole   outcome = "refused for want of a role"
	noNation outcome = "refused for want of England"
	hidden   outcome = "hidden"   // not found, or an answer in which nothing of the other body stands
	admitted outcome = "admitted" // served, or refused for what was asked and not for who asked
)

// principal is one column of the matrix.
type principal struct {
	role optionsv1.Role // unspecified for a token without roles
	// commissioner and pcn tell whether the role is held for the bodies of the request, or for others.
	commissioner, pcn, england bool
	anonymous                  bool
	token                      string
}

// String names the principal in messages.
func (p principal) String() string {
	if p.anonymous {
		return "nobody"
	}
	body := func(own bool) string {
		if own {
			return "own"
		}
		return "foreign"
	}
	switch name := auth.RoleName(p.role); {
	case p.england:
		return name + " of England"
	case name == "":
		return "a holder of no role"
	default:
		return fmt.Sprintf("%s, %s commissioner, %s PCN", name, body(p.commissioner), body(p.pcn))
	}
}

// principals are nobody, a token without roles, and each role for each pair of own and foreign bodies and for England.
func principals(mint func(role optionsv1.Role, commissioners, pcns []string) (string, error)) ([]principal, error) {
	roles := make([]optionsv1.Role, 0, len(optionsv1.Role_name))
	for number := range optionsv1.Role_name {
		roles = append(roles, optionsv1.Role(number))
	}
	slices.Sort(roles)
	out := []principal{{anonymous: true}}
	for _, role := range roles {
		for _, p := range []principal{
			{role: role, commissioner: true, pcn: true},
			{role: role, commissioner: true},
			{role: role, pcn: true},
			{role: role},
			{role: role, commissioner: true, england: true},
		} {
			commissioners, pcns := foreignCommissioners, foreignPCNs
			if p.commissioner {
				commissioners = ownCommissioners
			}
			if p.pcn {
				pcns = ownPCNs
			}
			if p.england {
				commissioners, pcns = []string{auth.England}, nil
			}
			var err error
			if p.token, err = mint(role, commissioners, pcns); err != nil {
				return nil, err
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// ofPCN tells the roles that are held for PCNs from those held for commissioners.
func ofPCN(role optionsv1.Role) bool {
	return role == optionsv1.Role_ROLE_PCN_MANAGER || role == optionsv1.Role_ROLE_CLINICAL_DIRECTOR
}

// expected derives from the declared rule alone what a principal is told who asks for a thing of the own bodies.
func expected(rule auth.MethodRule, p principal) outcome {
	if p.anonymous {
		return noToken
	}
	if !slices.Contains(rule.Roles, p.role) {
		return noRole
	}
	holds := p.commissioner
	if ofPCN(p.role) {
		holds = p.pcn
	}
	switch rule.Scope {
	case optionsv1.Scope_SCOPE_ROLE:
		return admitted
	case optionsv1.Scope_SCOPE_ENGLAND:
		if p.england && !ofPCN(p.role) {
			return admitted
		}
		return noNation
	case optionsv1.Scope_SCOPE_COMMISSIONER:
		if holds && !ofPCN(p.role) {
			return admitted
		}
		return hidden
	default:
		if holds {
			return admitted
		}
		return hidden
	}
}

// told reads the outcome off an answer. A refusal that names another reason than those of authorisation says that the caller was let
// through to the rules of the call.
func told(err error) outcome {
	code, reason := status.Code(err), reasonOf(err)
	switch {
	case code == codes.Unauthenticated:
		return noToken
	case reason == auth.ReasonRoleRequired || reason == auth.ReasonNoRule:
		return noRole
	case reason == auth.ReasonEnglandRequired:
		return noNation
	case code == codes.NotFound:
		return hidden
	default:
		return admitted
	}
}

func reasonOf(err error) string {
	if f, ok := rpc.FaultOf(err); ok {
		return f.Reason
	}
	return ""
}
