package main

import (
	"strings"
	"testing"
)

func TestCompare_ReportsWhatIsNewVanishedAndTwice(t *testing.T) {
	t.Parallel()
	required := map[string]string{"example.org/a": "pkg/go.mod", "example.org/new": "pkg/go.mod"}
	text := "| Library | For | Why |\n|---|---|---|\n| example.org/a, example.org/gone | x | y |\n| example.org/a | x | y |\n"
	err := compare(required, rows(text))
	if err == nil {
		t.Fatal("three problems were let through")
	}
	for _, want := range []string{"example.org/new of pkg/go.mod has no row", "lists example.org/gone, which no module", "lists example.org/a twice"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if err := compare(map[string]string{"example.org/a": "x"}, []string{"example.org/a"}); err != nil {
		t.Error(err)
	}
}

func TestKnown_TellsLicencesApart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Apache License\n   Version 2.0, January 2004":                                      "Apache-2.0",
		"Permission is hereby granted,\nfree of charge":                                     "MIT",
		"Redistribution and use in source and binary forms ... endorse or promote products": "BSD-3-Clause",
		"Redistribution and use in source and binary forms":                                 "BSD-2-Clause",
		"GNU AFFERO GENERAL PUBLIC LICENSE Version 3":                                       "AGPL",
		"All rights reserved.":                                                              "",
	} {
		if got := known(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
