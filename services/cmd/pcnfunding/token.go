package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
)

type tokenCommand struct {
	Role         []string      `help:"Role the token carries; may be given more than once." required:"" enum:"finance_preparer,finance_approver,pcn_manager,clinical_director,regional_viewer,auditor,operator,integration"`
	Commissioner []string      `help:"Commissioner that roles not of a PCN are held for, or * for all of England; all of England too where neither this nor --pcn is given."`
	PCN          []string      `name:"pcn" help:"PCN that pcn_manager and clinical_director are held for; other roles are not."`
	Subject      string        `help:"Who the token speaks for." default:""`
	Life         time.Duration `help:"How long it is valid." default:"1h"`
	DataDir      string        `help:"Folder of the local key." default:"var" type:"path"`
	Issuer       string        `help:"Name of the issuer in the token, where pcnfunding issuer publishes the key." placeholder:"http://issuer:8081"`
}

// Run prints a token.
func (t *tokenCommand) Run() error {
	issuer, err := auth.OpenLocalIssuer(t.DataDir, time.Now)
	if err != nil {
		return err
	}
	if t.Issuer != "" {
		issuer = issuer.At(t.Issuer)
	}
	principal := auth.Principal{Subject: t.Subject, Commissioners: t.Commissioner, PCNs: t.PCN}
	if principal.Subject == "" {
		principal.Subject = "local." + strings.ReplaceAll(t.Role[0], "_", ".")
	}
	if len(t.Commissioner) == 0 && len(t.PCN) == 0 {
		principal.Commissioners = []string{auth.England}
	}
	for _, name := range t.Role {
		role, known := auth.ParseRole(name)
		if !known {
			return fmt.Errorf("there is no role %q", name)
		}
		principal.Roles = append(principal.Roles, role)
	}
	token, err := issuer.Mint(principal, t.Life)
	if err != nil {
		return err
	}
	switch held := principal.As(principal.Roles...); {
	case len(held.Commissioners)+len(held.PCNs) == 0:
		fmt.Fprintln(os.Stderr, "this token opens nobody's account: name a --pcn for pcn_manager and clinical_director, a --commissioner for other roles")
	case held.HoldsEngland():
		fmt.Fprintln(os.Stderr, "this token is held for all of England: name --commissioner for less")
	}
	fmt.Println(token)
	return nil
}
