// Package sample holds real published data for January 2022 and January 2025 and the published workforce of PCNs of September 2022, with
// payees that are made up and labelled so.
// Sources and licence are in data/README.md.
package sample

import (
	"embed"
	"fmt"

	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

//go:embed data/*.csv.gz
var data embed.FS

// File is one file of the sample with what has to be said about it.
type File struct {
	Name        string
	Kind        registerv1.FileKind
	Source      string
	ExtractDate string // YYYY-MM-DD; empty where the file says it itself
}

// Files returns the sample in the order in which it is loaded.
func Files() []File {
	return []File{
		{
			"gp-reg-pat-prac-map_2022-01-01.csv.gz", registerv1.FileKind_PRACTICE_MAPPING,
			"NHS Digital, Patients Registered at a GP Practice, mapping, 1 January 2022", "",
		},
		{
			"gp-reg-pat-prac-all_2022-01-01.csv.gz", registerv1.FileKind_REGISTERED_LISTS,
			"NHS Digital, Patients Registered at a GP Practice, 1 January 2022", "",
		},
		{
			"epcn_pcn_details_2022-05.csv.gz", registerv1.FileKind_PCN_DETAILS,
			"NHS Organisation Data Service, ePCN workbook, May 2022", "",
		},
		{
			"weighted_lists_2021-22.csv.gz", registerv1.FileKind_WEIGHTED_LISTS,
			"NHS Digital, NHS Payments to General Practice 2021/22", "",
		},
		{
			"practice_adjusted_population_2025-01-01.csv.gz", registerv1.FileKind_ADJUSTED_POPULATIONS,
			"NHS England, PCN adjusted populations 2025/26, first issue", "2025-01-01",
		},
		{
			"sample_payees.csv.gz", registerv1.FileKind_NOMINATED_PAYEES,
			"sample payees: not published, made for trying the suite", "",
		},
	}
}

// Read returns the bytes of a file.
func (f File) Read() ([]byte, error) {
	content, err := data.ReadFile("data/" + f.Name)
	if err != nil {
		return nil, fmt.Errorf("read sample: %w", err)
	}
	return content, nil
}

// Workforce is the published staff of PCNs.
type Workforce struct {
	File
	Census string // month, YYYY-MM
	Month  string // the month of which the sample models claims
}

// PublishedWorkforce returns the staff from which the sample models claims: those in post at the end of September 2022, claimed for the
// month after.
func PublishedWorkforce() Workforce {
	return Workforce{
		File:   File{Name: "pcn_workforce_2022-09.csv.gz", Source: "NHS Digital, Primary Care Network Workforce, September 2022"},
		Census: "2022-09", Month: "2022-10",
	}
}

// Months returns the months that the sample serves to close: the £1.50 under CCGs, and merged core funding under ICBs.
func Months() []string { return []string{"2022-04", "2025-04"} }
