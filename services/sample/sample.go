// Package sample holds real published data for January 2022, March 2024 and January 2025, the published workforce of PCNs of September
// 2022 and the published counts of an indicator of 2023/24, with payees that are made up and labelled so.
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
			mapping2024, registerv1.FileKind_PRACTICE_MAPPING,
			"made of NHS Organisation Data Service, ePCN workbook, October 2024: relationships in force on 31 March 2024", "",
		},
		{
			lists2023, registerv1.FileKind_REGISTERED_LISTS,
			"NHS England, QOF list sizes of 1 April 2023, standing in for the lists of 1 January 2023", "",
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

// Members and lists of the year of which the sample shows the Investment and Impact Fund.
const (
	mapping2024 = "pcn_mapping_2024-03-31.csv.gz"
	lists2023   = "registered_lists_standing_in_2023-01-01.csv.gz"
)

// Achievement is what the sample holds of a year of the Investment and Impact Fund.
type Achievement struct {
	// Counts are published counts of one indicator.
	Counts File
	// Members and Lists are files of the register: the practices of PCNs on the last day of the year, and their registered lists.
	Members, Lists File
	Year           string // YYYY-YY
	AchievedOn     string // YYYY-MM-DD
	Month          string // the last of the year, YYYY-MM
}

// PublishedAchievement returns the year of which the sample works out every PCN.
func PublishedAchievement() Achievement {
	return Achievement{
		Counts:  File{Name: "iif_acc08_practices_2023-24.csv.gz", Source: "NHS England, IIF indicators, annual publication 2023/24: ACC-08 of practices"},
		Members: File{Name: mapping2024}, Lists: File{Name: lists2023}, Year: "2023-24", AchievedOn: "2024-03-31", Month: "2024-03",
	}
}

// Months returns the months that the sample serves to close: the £1.50 under CCGs, and merged core funding under ICBs.
func Months() []string { return []string{"2022-04", "2025-04"} }
