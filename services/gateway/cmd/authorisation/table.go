package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway/internal/route"
)

// column is one role of the table.
type column struct {
	role    optionsv1.Role
	heading string
}

var columns = []column{
	{optionsv1.Role_ROLE_FINANCE_PREPARER, "FP"},
	{optionsv1.Role_ROLE_FINANCE_APPROVER, "FA"},
	{optionsv1.Role_ROLE_PCN_MANAGER, "PM"},
	{optionsv1.Role_ROLE_CLINICAL_DIRECTOR, "CD"},
	{optionsv1.Role_ROLE_REGIONAL_VIEWER, "RV"},
	{optionsv1.Role_ROLE_AUDITOR, "AU"},
	{optionsv1.Role_ROLE_OPERATOR, "OP"},
	{optionsv1.Role_ROLE_INTEGRATION, "IN"},
}

const heading = `# Who may make which call

Written by ` + "`make generate`" + ` from the contracts; what enforces it reads the same declarations. ` + "`services/gateway/internal/matrix`" + ` makes
every call as every role, for bodies of their own and of others, over gRPC and REST, and holds the answers against it.

`

const legend = `
*Held for* says what the role must be held for:

- **commissioner**: the one that the request names. Roles of a PCN are never held for one.
- **PCN**: the one that the request names, or its commissioner.
- **thing**: the commissioner or PCN that the thing asked for belongs to; a list shows what the caller may see.
- **England**: every commissioner.
- **role**: nothing; the answer is the same for every holder of the role.

A caller without a valid token is told 401, one without a role of the call 403 ` + "`ROLE_REQUIRED`" + `, one who holds single bodies for a call that covers
England 403 ` + "`ENGLAND_REQUIRED`" + `. What is held for others looks like what is not there: 404. A call without a declared rule is refused, and
fails the build.
`

// scopes are the words of the table for what a role must be held for.
var scopes = map[optionsv1.Scope]string{
	optionsv1.Scope_SCOPE_COMMISSIONER: "commissioner", optionsv1.Scope_SCOPE_PCN: "PCN", optionsv1.Scope_SCOPE_RESOURCE: "thing",
	optionsv1.Scope_SCOPE_ENGLAND: "England", optionsv1.Scope_SCOPE_ROLE: "role",
}

// table writes who may make each call, in Markdown. It refuses a call whose contract declares no usable rule, or
// that no route of the packages leads to.
func table(packages []string, rules []auth.MethodRule) ([]byte, error) {
	routes, err := route.All(packages...)
	if err != nil {
		return nil, fmt.Errorf("authorisation table: %w", err)
	}
	var out strings.Builder
	out.WriteString(heading)
	for _, c := range columns {
		fmt.Fprintf(&out, "- **%s** `%s`\n", c.heading, auth.RoleName(c.role))
	}
	out.WriteString(legend)
	service := ""
	for _, rule := range rules {
		if err := usable(rule); err != nil {
			return nil, err
		}
		full, call, _ := strings.Cut(strings.TrimPrefix(rule.Method, "/"), "/")
		if name := strings.Split(full, ".")[1]; name != service {
			service = name
			writeHead(&out, service)
		}
		path, err := pathOf(routes, full+"."+call)
		if err != nil {
			return nil, err
		}
		writeRow(&out, rule, call, path)
	}
	return []byte(out.String()), nil
}

// usable refuses a rule that cannot be enforced.
func usable(rule auth.MethodRule) error {
	if _, known := scopes[rule.Scope]; !rule.Declared || len(rule.Roles) == 0 || !known {
		return fmt.Errorf("authorisation table: %s declares no usable access rule: state roles and scope beside it", rule.Method)
	}
	return nil
}

func writeHead(out *strings.Builder, service string) {
	fmt.Fprintf(out, "\n## %s\n\n| Call | REST | Changes | Held for |", service)
	for _, c := range columns {
		fmt.Fprintf(out, " %s |", c.heading)
	}
	out.WriteString("\n|---|---|:-:|---|" + strings.Repeat(":-:|", len(columns)) + "\n")
}

func writeRow(out *strings.Builder, rule auth.MethodRule, call, path string) {
	changes := ""
	if rule.Mutates {
		changes = "●"
	}
	fmt.Fprintf(out, "| %s | `%s` | %s | %s |", call, path, changes, scopes[rule.Scope])
	for _, c := range columns {
		if slices.Contains(rule.Roles, c.role) {
			out.WriteString(" ● |")
		} else {
			out.WriteString(" |")
		}
	}
	out.WriteString("\n")
}

// pathOf returns the first route of a call.
func pathOf(routes []route.Route, call string) (string, error) {
	i := slices.IndexFunc(routes, func(r route.Route) bool { return string(r.Method.FullName()) == call && r.Binding == 0 })
	if i < 0 {
		return "", fmt.Errorf("authorisation table: no route leads to %s", call)
	}
	return routes[i].Verb + " " + routes[i].Path, nil
}
