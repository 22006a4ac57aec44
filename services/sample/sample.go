// Package sample holds real published data for September 2020, January 2022, March 2024 and January 2025, the published attendances of
// providers of November 2020 and 2021, the published workforce of PCNs of September 2022 and the published counts of an indicator of 2023/24, with
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
			mapping2020, registerv1.FileKind_PRACTICE_MAPPING,
			"NHS Digital, Patients Registered at a GP Practice, mapping, 1 September 2020", "",
		},
		{
			lists2021, registerv1.FileKind_REGISTERED_LISTS,
			"NHS Digital, Patients Registered at a GP Practice, 1 January 2021", "",
		},
		{
			mapping2022, registerv1.FileKind_PRACTICE_MAPPING,
			"NHS Digital, Patients Registered at a GP Practice, mapping, 1 January 2022", "",
		},
		{
			lists2022, registerv1.FileKind_REGISTERED_LISTS,
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

// NeedWeights returns the weights of practices behind the allocations of 2022/23.
func NeedWeights() File {
	return File{
		Name: "gp_practice_weighted_population_2022-23.csv.gz", Source: "NHS England, GP practice weighted populations 2022/23, as published in nhsx/AIF_Allocation_Tool",
	}
}

// Holding is what one body had of the development fund, as it was published.
type Holding struct {
	Code, Name string
	Pence      int64
	Source     string
}

// Development is what the sample knows of the development fund of one system.
type Development struct {
	// Year is the one of which sums of the system are published, and System and Place are what they had.
	Year          string // YYYY-YY
	System, Place Holding
	// PCNs are the networks of the place. Their members are known from 2022 on, when Commissioner led them, which the place had merged into.
	PCNs         []string
	Commissioner string
	MembersOn    string // YYYY-MM-DD
	// Modelled is the year of which the sample models a plan, for the commissioner's networks, and Month the one that pays of it.
	Modelled, Month string
}

// PublishedDevelopment returns South West London and Kingston in 2019/20: the only system and the only place of which sums were found.
func PublishedDevelopment() Development {
	const slides = "Kingston CCG, Primary care network development fund, committee slides of 2019"
	return Development{
		Year:   "2019-20",
		System: Holding{Code: "QWE", Name: "South West London Health and Care Partnership", Pence: 1_134_000_00, Source: slides + " (rounded)"},
		Place:  Holding{Code: "08J", Name: "NHS Kingston CCG", Pence: 143_120_00, Source: slides},
		PCNs:   []string{"U19424", "U37262", "U52814", "U72231", "U88126"}, Commissioner: "36L", MembersOn: "2022-01-01",
		Modelled: "2022-23", Month: "2022-05",
	}
}

// Members and lists of the months of which the sample shows attendances.
const (
	mapping2020 = "gp-reg-pat-prac-map_2020-09-01.csv.gz"
	lists2021   = "gp-reg-pat-prac-all_2021-01-01.csv.gz"
	mapping2022 = "gp-reg-pat-prac-map_2022-01-01.csv.gz"
	lists2022   = "gp-reg-pat-prac-all_2022-01-01.csv.gz"
)

// Attendances is what the sample models attendances by practice from.
type Attendances struct {
	// Providers are the attendances of a month by provider.
	Providers File
	// Trusts tells in which health system each trust lies.
	Trusts File
	// Activity tells how many attendances of a year were of each HRG.
	Activity File
	// Members and Lists are files of the register: the practices of PCNs, and their registered lists.
	Members, Lists File
	// System is the health system whose commissioners the sample takes attendances in for, by code and name; the model is of all England.
	System, SystemName string
	Month              string // YYYY-MM
	Year               string // of the month, YYYY-YY
	ListDate           string // YYYY-MM-DD, of the lists that stand in for those of the year; empty where its own are held
	ExtractDate        string // YYYY-MM-DD, of Providers; the last of the month where its day is not known
}

// PublishedAttendances returns the months of which the sample models attendances: November 2020, of the year in which commissioners were
// to tell PCNs of them, and the same month a year later.
func PublishedAttendances() []Attendances {
	both := Attendances{
		Trusts:   File{Name: "trusts_2025-12.csv.gz", Source: "NHS Organisation Data Service, etr, December 2025"},
		Activity: File{Name: "ae_activity_2024-25.csv.gz", Source: "NHS England, National Cost Collection 2024/25"},
		System:   "QHM", SystemName: "Cumbria and North East",
	}
	first, second := both, both
	first.Providers = File{Name: "ae_providers_2020-11.csv.gz", Source: "NHS England, A&E Attendances and Emergency Admissions, November 2020, revised 27 April 2021"}
	first.Members, first.Lists = File{Name: mapping2020}, File{Name: lists2021}
	first.Month, first.Year, first.ListDate, first.ExtractDate = "2020-11", "2020-21", "2021-01-01", "2021-04-27"
	second.Providers = File{Name: "ae_providers_2021-11.csv.gz", Source: "NHS England, A&E Attendances and Emergency Admissions, November 2021"}
	second.Members, second.Lists = File{Name: mapping2022}, File{Name: lists2022}
	second.Month, second.Year, second.ExtractDate = "2021-11", "2021-22", "2021-11-30"
	return []Attendances{first, second}
}

// Months returns the months that the sample serves to close: the £1.50 under CCGs, and merged core funding under ICBs.
func Months() []string { return []string{"2022-04", "2025-04"} }
