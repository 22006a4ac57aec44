package auth

import (
	"context"
	"slices"

	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

// England is the commissioner claim that stands for every commissioner of England.
const England = "*"

// Principal is who makes a call: a person or a system, what they do, and for which bodies they do it.
type Principal struct {
	// Subject is the stable identifier of the person or system, the token's "sub".
	Subject string
	// Roles are what the principal does, without duplicates.
	Roles []optionsv1.Role
	// Commissioners are the codes of the commissioners for which the roles are held that are not of a PCN; England ("*") stands for all.
	// In the context of a call they are empty unless such a role is one of the call, see As.
	Commissioners []string
	// PCNs are the codes of the PCNs for which the roles of a PCN are held; in the context of a call, as Commissioners.
	PCNs []string
	// Token is the bearer token itself, passed on to other services; never logged.
	Token string
	// ties are the PCNs for which the token holds a role of a PCN, whatever the call asks for, see TiedTo.
	ties []string
}

type principalKey struct{}

// With returns a context that carries the principal.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From returns the principal of a call, and false outside a call or in one that needs no token.
func From(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}

// HasRole tells whether the principal holds at least one of the roles.
func (p Principal) HasRole(roles ...optionsv1.Role) bool {
	return slices.ContainsFunc(roles, func(r optionsv1.Role) bool {
		return r != optionsv1.Role_ROLE_UNSPECIFIED && slices.Contains(p.Roles, r)
	})
}

// As returns the principal as it counts where some roles are asked for: a PCN's manager who also audits England changes nothing for
// another PCN, nor does an approver for the PCN they manage. Of the roles it has, those of a PCN are held for its PCNs, and all others for
// its commissioners.
func (p Principal) As(roles ...optionsv1.Role) Principal {
	var forPCNs, forCommissioners bool
	for _, role := range roles {
		if p.HasRole(role) {
			forPCNs = forPCNs || ofPCN(role)
			forCommissioners = forCommissioners || !ofPCN(role)
		}
	}
	if !forPCNs {
		p.PCNs = nil
	}
	if !forCommissioners {
		p.Commissioners = nil
	}
	return p
}

// In returns the principal as it counts in a call, by its full gRPC name.
func (p Principal) In(method string) Principal {
	rule, _ := RuleOf(method)
	if slices.ContainsFunc(p.Roles, ofPCN) {
		p.ties = slices.Concat(p.ties, p.PCNs)
	}
	return p.As(rule.Roles...)
}

// TiedTo tells whether the principal manages the PCN or directs it, also in a call whose roles leave that out. It is for refusing what
// such a person has an interest in, and gives no right to anything: use HoldsPCN for that.
func (p Principal) TiedTo(pcn string) bool { return p.HoldsPCN(pcn) || slices.Contains(p.ties, pcn) }

func ofPCN(role optionsv1.Role) bool {
	return role == optionsv1.Role_ROLE_PCN_MANAGER || role == optionsv1.Role_ROLE_CLINICAL_DIRECTOR
}

// HoldsEngland tells whether the principal's roles are held for every commissioner.
func (p Principal) HoldsEngland() bool { return slices.Contains(p.Commissioners, England) }

// HoldsCommissioner tells whether the principal's roles are held for the commissioner. An empty code means all of England.
func (p Principal) HoldsCommissioner(code string) bool {
	return p.HoldsEngland() || code != "" && slices.Contains(p.Commissioners, code)
}

// HoldsPCN tells whether the principal's roles are held for the PCN by name. It does not know which commissioner a PCN has:
// use MaySee once that is loaded.
func (p Principal) HoldsPCN(code string) bool { return code != "" && slices.Contains(p.PCNs, code) }

// MaySee tells whether the principal may see a thing of the PCN under the commissioner. Either code may be empty where the
// thing has none; a thing with neither is seen by those who hold England.
func (p Principal) MaySee(commissioner, pcn string) bool {
	return p.HoldsCommissioner(commissioner) || p.HoldsPCN(pcn)
}

// CommissionerScope returns the codes that a query must be limited to: nil means no limit (all of England), an empty slice
// means that nothing is seen by way of a commissioner.
func (p Principal) CommissionerScope() []string {
	if p.HoldsEngland() {
		return nil
	}
	return append([]string{}, p.Commissioners...)
}

// RoleNames returns the names of the principal's roles, for the audit log.
func (p Principal) RoleNames() []string {
	names := make([]string, 0, len(p.Roles))
	for _, r := range p.Roles {
		names = append(names, RoleName(r))
	}
	return names
}
