package auth

import (
	"strings"

	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

const roleEnumPrefix = "ROLE_"

// roleNames and roleByName are the table of role names, read off the contract so that there is no second list.
var roleNames, roleByName = roleTable()

func roleTable() (map[optionsv1.Role]string, map[string]optionsv1.Role) {
	names, byName := make(map[optionsv1.Role]string), make(map[string]optionsv1.Role)
	for number, name := range optionsv1.Role_name {
		role := optionsv1.Role(number)
		if role == optionsv1.Role_ROLE_UNSPECIFIED {
			continue
		}
		short := strings.ToLower(strings.TrimPrefix(name, roleEnumPrefix))
		names[role], byName[short] = short, role
	}
	return names, byName
}

// RoleName returns the name of a role as tokens and the audit log spell it, such as "finance_preparer". It is empty for the
// unspecified role and for one that this build does not know.
func RoleName(role optionsv1.Role) string { return roleNames[role] }

// ParseRole reads the name of a role as tokens spell it. It returns false for a name that this build does not know.
func ParseRole(name string) (optionsv1.Role, bool) {
	role, ok := roleByName[name]
	return role, ok
}
