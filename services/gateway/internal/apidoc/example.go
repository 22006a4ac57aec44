package apidoc

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/services/gateway/internal/route"
)

// exampleMoment is the moment of every example: the evening of the first close of April 2022.
var exampleMoment = time.Date(2022, time.April, 1, 17, 30, 0, 0, time.UTC)

// texts are values by field name, of one month of one made-up PCN: 52,310 patients at £1.50 a year are £6,538.75 a month.
var texts = map[string]string{
	"adjusts_line_id": "", "adjusted_population": "52310", "applied_from_month": "2022-04", "approved_by": "",
	"closed": "", "closed_by": "a.finance@15n.example", "closes": "2022-04-30", "commissioner_code": "15N",
	"commissioner_name": "NHS Devon CCG", "component": "", "decided_by": "b.finance@15n.example",
	"decision_reason": "Assessment met for all practices", "declaration_id": "decl-0197d5a0-4f2d-7b61-8e1a-6c5d4b3a2f10",
	"declared_by": "c.director@u12345.example", "detail": "Practice L83001 is in no PCN", "effective_from": "2022-04-01",
	"effective_to": "2023-03-31", "entry_id": "0197d5a0-5e6f-7a12-9b3c-8d7e6f5a4b3c", "etag": "3",
	"evidence": "Statement of 12 April 2022 for all member practices", "expected_kind": "", "extract_date": "2022-04-01",
	"file_name": "gp-reg-pat-prac-map.csv", "final_weighted": "51874.36", "first_month": "2022-04", "first_paid_month": "",
	"for_month": "2022-04", "from_month": "2022-04", "funding_source": "PCN DES", "health_inequality_share": "0.15",
	"health_inequality_weighted": "50120.4", "hours_rounded_to_quarter": "26.25", "kind": "PRACTICE_MAPPING",
	"known_from": "2022-03-31", "known_from_basis": "publication", "line_id": "core-7f0c2b9a41d85e6390b1c2d3e4f50617",
	"lines_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
	"load_id":      "0197d5a0-7f3c-7c52-9a4e-3b1f0c2d4e5f", "loaded_by": "operator@england.example", "location_code": "15N",
	"membership_date": "2022-04-01", "method": "/pcnfunding.core.v1.CoreService/CloseMonth",
	"minutes_per_1000": "30", "minutes_per_week": "1569.3", "missing": "registered list of L83001 on 2022-01-01",
	"month": "2022-04", "monthly_rate_gbp": "0.125", "name": "Example PCN", "national_gbp": "90000000",
	"next_page_token": "", "note": "", "notice_date": "2022-04-15", "on_date": "2022-04-01", "opened": "2019-07-01",
	"opens": "2022-04-01", "organisation_code": "U12345", "other_code": "U12345", "other_name": "Example PCN",
	"page_token": "", "payee_code": "L83001", "payee_name": "Example Surgery", "payer_code": "15N", "payer_name": "NHS Devon CCG",
	"payment_code": "CORE_PCN", "pcn_code": "U12345", "pcn_name": "Example PCN", "population": "52310",
	"population_date": "2022-01-01", "population_reference_date": "2022-01-01", "practice_code": "L83001",
	"primary_medical_care_weighted": "52184", "quantity": "9120", "rate_gbp": "1.5", "rate_id": "core-pcn-2022-04-01-1",
	"recorded_by": "operator@england.example", "reference_date": "2022-01-01", "region_code": "Y58", "released_by": "",
	"release_reason": "", "remedy": "Load the registered lists of 1 January 2022", "replaces_rate_id": "",
	"request_id": "0197d5a0-3c2b-7d1e-9f00-5a6b7c8d9e0f", "resource": "core/schedules/core-15N-2022-04-1",
	"schedule_id": "core-15N-2022-04-1", "seal_sha256": "", "setting_id": "set-0197d5a0-11aa-7bcd-8e0f-1a2b3c4d5e6f",
	"sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae", "share": "1",
	"snapshot_id": "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9", "source": "NHS England, published 31 March 2022",
	"source_item": "", "stated_month": "2022-04", "sum_gbp": "4.02", "system_code": "QJK", "to_month": "",
	"unit": "patients", "unrounded_gbp": "78465", "value": "52310", "version": "first",
	"withheld_by": "a.finance@15n.example", "withholding_id": "wh-0197d5a0-2b3c-7d4e-8f50-617283940a1b", "actor": "a.finance@15n.example",
	"summary": "Closed 2022-04 for 15N: 1 line, £6,538.75 to pay", "column": "NUMBER_OF_PATIENTS", "clause": "",
}

// numbers are values of integer fields by name.
var numbers = map[string]int64{
	"amount_pence": 653875, "monthly_pence": 653875, "first_payment_pence": 653875, "total_pence": 7846500,
	"rounded_once_pence": 7846500, "monthly_total_pence": 653875, "pay_total_pence": 653875, "reconcile_total_pence": 0,
	"page_size": 100, "sequence": 1, "line_count": 1, "lines": 1, "pcns": 1, "pcn_count": 1, "practices": 5, "commissioners": 1,
	"beneficiaries": 1, "practices_in_pcn": 5, "registered_patients": 52310, "registered_patients_in_pcn": 52310,
	"covered_basis_points": 10000, "beds": 240, "rows_read": 6541, "rows_stored": 6541, "line": 17, "instalments": 12,
	"instalments_paid": 3, "remaining_instalments": 11, "rest_total_pence": 7846500,
}

// choices are values of enum fields by the enum's full name; the first value that is not 0 stands for all others.
var choices = map[protoreflect.FullName]string{
	"pcnfunding.register.v1.FileKind":         "PRACTICE_MAPPING",
	"pcnfunding.register.v1.OrganisationKind": "PCN",
	"pcnfunding.register.v1.FindingKind":      "PRACTICE_WITHOUT_LIST",
	"pcnfunding.register.v1.RelationshipKind": "COMMISSIONED_BY",
	"pcnfunding.register.v1.RequirementState": "PLANNED",
	"pcnfunding.register.v1.OwnerLevel":       "PCN_LEVEL",
	"pcnfunding.type.v1.AdjustmentCause":      "ADJUSTMENT_CAUSE_UNSPECIFIED",
	"pcnfunding.core.v1.DeclarationState":     "ACCEPTED",
	"pcnfunding.payments.v1.Format":           "FORMAT_PAYABLES_INVOICES",
	"pcnfunding.devfund.v1.AllocationLevel":   "COMMISSIONER",
	"pcnfunding.devfund.v1.AllocationBasis":   "RELEASED",
	"pcnfunding.devfund.v1.PlanState":         "APPROVED",
	"pcnfunding.devfund.v1.UnspentPolicy":     "RETURN_TO_SYSTEM",
	"pcnfunding.devfund.v1.MaturityArea":      "INTEGRATING_CARE",
	"pcnfunding.devfund.v1.SupportDomain":     "COLLABORATIVE_WORKING",
}

// ownTexts and ownNumbers are values of one contract by its package, which go before those above: a month of one network of the
// sample, whose 53,560 patients make £16,407.21.
var (
	ownTexts = map[protoreflect.FullName]map[string]string{
		"pcnfunding.arrs.v1": {
			"band": "", "claim_id": "claim-0197d5a0-8b9c-7d0e-8f12-3a4b5c6d7e8f", "commissioner_code": "QJK", "effective_from": "2022-10-01",
			"engagement_id": "eng-0197d5a0-5b6c-7d8e-9f01-2a3b4c5d6e7f", "figure_id": "CP-NAT-2022-10", "file_name": "claims-2022-10.csv",
			"financial_year": "2022-23", "label": "CP 1", "month": "2022-10", "on_date": "2022-10-01", "percent": "100", "person_reference": "",
			"post": "", "query": "Which post does CP 1 replace?", "reason": "agreed with the PCN", "role_code": "CP", "takes": "a decimal above 0",
			"schedule_id": "arrs-QJK-2022-10-1", "name": "WTE_CEILING",
			"award_id": "0197d5a0-9a1b-7c2d-8e3f-4a5b6c7d8e9f", "awarded_by": "b.finance@qjk.example", "awarded_on": "2022-12-01", "awards_until": "2023-03-31",
			"unclaimed_by": "2022-09-30", "unclaimed_id": "0197d5a0-a1b2-7c3d-8e4f-5a6b7c8d9e0f", "answer_reason": "", "answered_by": "c.director@u12345.example",
			"estimated_by": "a.finance@qjk.example", "bid_id": "0197d5a0-b1c2-7d3e-8f4a-5b6c7d8e9f0a", "declined_bid_ids": "0197d5a0-b1c2-7d3e-8f4a-5b6c7d8e9f0b",
			"placed_by": "c.director@u12345.example", "purpose": "Two paramedics from January", "rule": "shared", "weight": "",
			"plan_id": "0197d5a0-c1d2-7e3f-8a4b-5c6d7e8f9a0b", "planned_in": "2022-23", "submitted_by": "m.manager@u12345.example",
			"agreed_on": "2022-08-30", "agreed_by": "c.director@u12345.example", "withdrawal_reason": "", "withdrawn_by": "", "collated_on": "2022-08-31",
			"collated_by": "a.finance@qjk.example", "wte_in_post": "2.5", "planned_wte": "3", "start_month": "2022-10", "employer": "Example Network Ltd",
			"recruitment_model": "own", "risks": "", "group_code": "QJK", "missing_pcn_codes": "U12346", "not_agreed_pcn_codes": "U12347",
			"published_month": "2022-09", "published_wte": "2.75", "claimed_wte": "2.8", "staff_group": "Other Direct Patient Care staff",
			"action": "Fellowships for new nurses", "owner": "Training hub", "due_date": "2023-03-31", "system_plan_id": "0197d5a0-d1e2-7f3a-8b4c-5d6e7f8a9b0c",
			"as_of_month": "2022-10", "code": "PAY_AS_LAST_CLAIMED", "text": "Staff in post cost each month what their last claimed month came to.",
			"import_id": "0197d5a0-e1f2-7a3b-8c4d-5e6f7a8b9c0d", "imported_by": "operator@england.example", "wte": "2.75", "staff_role": "Pharmacists",
			"detailed_staff_role": "Pharmacist", "absent_pcn_codes": "U12346", "unknown_pcn_codes": "U12348", "warnings": "", "body_code": "QJK",
		},
		"pcnfunding.iif.v1": {
			"achieved_on": "2024-03-31", "commissioner_code": "QJK", "correction_id": "cor-0197d5a0-e1f2-7a3b-8c4d-5e6f7a8b9c0d",
			"figure_id": "IIF-2023-04-HI-03/UPPER_THRESHOLD", "file_name": "ncd-2024-03-31.csv.gz", "financial_year": "2023-24",
			"import_id": "imp-0197d5a0-a1b2-7c3d-8e4f-5a6b7c8d9e0f", "indicator_code": "HI-03", "known_on": "2024-04-15",
			"line_id": "iif-7f0c2b9a41d85e6390b1c2d3e4f50617", "month": "2024-06", "nomination_id": "nom-0197d5a0-f1a2-7b3c-8d4e-5f6a7b8c9d0e",
			"on_date": "2024-03-31", "organisation_code": "L83001", "person": "c.director@u12345.example",
			"result_id": "res-0197d5a0-c1d2-7e3f-8a4b-5c6d7e8f9a0b", "schedule_id": "iif-QJK-2024-06-1", "source": "CQRS extract of 31 March 2024",
			"text": "A second social prescriber from July", "value": "80", "version_id": "IIF-2023-04",
		},
		"pcnfunding.register.v1": {
			"completed_date": "2022-05-10", "date": "2022-06-03", "due_date": "2022-07-31", "end_date": "", "evidence_reference": "https://u12345.example/enhanced-access-plan.pdf",
			"evidence_type": "plan submitted to the commissioner", "financial_year": "2022-23", "focus_area": "access", "from_date": "2022-04-01", "hold_clause": "",
			"item_id": "item-0197d5a0-a7b8-7c9d-8e0f-1a2b3c4d5e6f", "linked_record": "requirements/2022-23-enhanced-access-plan", "met_date": "2022-07-20",
			"other_due_date": "", "owner_code": "U12345", "phase": "Plan submitted to commissioner by this date", "planned_date": "2022-07-15",
			"reason": "Named in the letter of 4 May 2022", "requirement_id": "2022-23-enhanced-access-plan", "start_date": "", "title": "Board agrees the plan of enhanced access",
			"to_date": "2023-03-31", "warnings": "", "window_end": "", "window_start": "",
		},
		"pcnfunding.devfund.v1": {
			"activity_date": "2020-01-15", "additional_support": "", "agreed_on": "2019-11-20", "allocation_id": "alc-0197d5a0-a1b2-7c3d-8e4f-5a6b7c8d9e0f",
			"approved_on": "2019-12-10", "assessed_on": "2019-09-12", "author": "a.finance@15n.example", "basis": "2020/21 priority",
			"body": "Primary care commissioning committee", "by": "b.finance@15n.example", "category": "integration_and_mdt_working",
			"check": "universal_offer", "code": "U12345", "commissioner_code": "15N", "commissioner_name": "NHS Devon CCG", "conditions": "",
			"decided_by": "Primary care commissioning committee", "decided_on": "2019-12-10", "decision_id": "shr-0197d5a0-b1c2-7d3e-8f4a-5b6c7d8e9f0a",
			"decision_reason": "", "description": "Joint working with community services and pharmacies", "development_activity": "Workshop of the practices",
			"director": "Dr C. Director", "ends_on": "2020-03-31", "evidence_reference": "Minutes of the network board, 20 November 2019, item 4",
			"expected_outcome": "One team round of all practices", "fund_code": "PCN_DEV", "final_weighted": "61498822.00", "financial_year": "2019-20",
			"file_name": "gp_practice_weighted_population_2022-23.csv.gz", "for_month": "2019-12", "from_date": "2019-07-01", "from_month": "2019-04",
			"to_month": "2020-03", "holder_code": "15N", "holder_name": "NHS Devon CCG", "import_id": "need-0197d5a0-c1d2-7e3f-8a4b-5c6d7e8f9a0b",
			"imported_by": "operator@england.example", "interest_id": "int-0197d5a0-d1e2-7f3a-8b4c-5d6e7f8a9b0c", "kind": "PLAN_LINE", "id": "L1",
			"known_from": "2019-07-01", "leadership_percent": "10", "leadership_reason": "", "level_reason": "", "line_id": "L1", "list_date": "2022-01-01",
			"location_code": "15N", "membership_date": "2019-07-01", "method": "10% for leadership first, then the same for each",
			"method_words": "10% for leadership first, then the same for each", "minute_reference": "PCCC 2019-12-10, item 5", "month": "2019-12", "name": "Example PCN",
			"nature": "Partner in a member practice", "need_index": "", "need_index_source": "", "on_date": "2019-12-10",
			"outcome_measure": "Team rounds a month", "parent_allocation_id": "alc-0197d5a0-e1f2-7a3b-8c4d-5e6f7a8b9c0d", "payer_code": "15N",
			"payer_name": "NHS Devon CCG", "payment_code": "PCN_DEVELOPMENT", "funding_source": "PCN_DEVELOPMENT", "percent": "10",
			"person": "c.director@u12345.example", "place": "Devon", "plan_id": "plan-0197d5a0-f1a2-7b3c-8d4e-5f6a7b8c9d0e", "population": "",
			"population_date": "", "procurement_route": "", "quarter": "3", "progress": "Two workshops held, the third in February", "proposed_by": "a.finance@15n.example",
			"reason": "Agreed with the networks on 5 November 2019", "recorded_by": "b.finance@15n.example", "reference": "PCCC 2019-12-10, item 5",
			"replaces_decision_id": "", "report_id": "spend-0197d5a0-a2b3-7c4d-8e5f-6a7b8c9d0e1f", "reviewed_on": "2020-02-04",
			"schedule_id": "devfund-15N-2019-12-1", "service_improvement_priority": "Integration with community services", "share_percent": "100",
			"source": "Committee paper of December 2019", "starts_on": "2020-01-01", "step": "APPROVED", "supplier_code": "", "supplier_name": "",
			"system_code": "QJK", "through_month": "2019-12", "title": "Development plan of the Devon networks", "to_date": "2020-03-31",
			"treatment_id": "trm-0197d5a0-b2c3-7d4e-8f5a-6b7c8d9e0f1a", "value": "RETURN_TO_SYSTEM", "weight": "1", "exact": "64404",
			"wider_partners": "Community pharmacies of the place", "words": "Every network gets a line, in cash or in kind.", "exception": "NOT_ALL_SHARED",
			"expected": "8103.5539", "gap": "0.001", "health_inequality": "7912.36", "primary_medical_care": "8137.294", "published": "8103.5549",
			"primary_share": "0.85", "inequality_share": "0.15", "tolerance": "0.01", "difference_percent": "0.7", "forecast": "51990.41",
			"registered": "52310", "scale": "61498822/61498819",
		},
		"pcnfunding.activity.v1": {
			"after_report_id": "activity-15N-2020-11-2", "before_report_id": "activity-15N-2020-11-1", "bases": "TARIFF", "causes": "cut 2 follows cut 1",
			"cut_id": "activity-15N-2020-11-cut-1", "due_on": "2020-12-20", "extract_date": "2020-12-14", "factor": "1.0615",
			"factor_version": "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945", "figure_id": "price/tariff-2020-21/VB05Z",
			"figure_ids": "price/tariff-2020-21/VB05Z", "file_name": "sus-ae-2020-11.csv.gz", "financial_year": "2020-21", "gbp": "152.5",
			"generated_by": "a.finance@15n.example", "hrg_code": "VB05Z", "import_id": "imp-0197d5a0-a1b2-7c3d-8e4f-5a6b7c8d9e0f",
			"imported_by": "operator@england.example", "last_year_report_ids": "activity-15N-2019-11-1", "list": "tariff-2020-21", "list_date": "2020-01-01",
			"membership_date": "2020-11-01", "missing": "market forces factor of RH8 in 2020/21", "month": "2020-11", "name": "DUE_DAY",
			"notes": "notional, never an amount owed", "pcn_codes": "U12345", "person": "c.director@u12345.example", "price_gbp": "152.5",
			"price_list": "tariff-2020-21", "price_version": "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
			"provider_code": "RH8", "published_by": "b.finance@15n.example", "rate_per_1000": "18.35", "reason": "agreed with the PCNs",
			"remedy": "enter it with AddFigure, with its source", "report_id": "activity-15N-2020-11-1", "setting_ids": "set-0197d5a0-11aa-7bcd-8e0f-1a2b3c4d5e6f",
			"source": "SUS, extract of 14 December 2020", "stand_in_list": "", "subject": "", "value": "DAY 20",
			"replaces_figure_id": "",
			"words":              "Counts from 1 to 7 are hidden.", "sentences": "12 attendances × £152.50 × 1.0615 = £1,942.55", "description": "Emergency Medicine",
		},
		"pcnfunding.partners.v1": { //nolint:gosec // examples, which are credentials of nobody
			"added_by": "b.finance@qwe.example", "aggregate": "commissioner/QWE", "commissioner_code": "QWE", "confirmed_by": "c.finance@qwe.example",
			"contact_email": "platform@ics.example", "credential_id": "0197d5a0-1a2b-7c3d-8e4f-5a6b7c8d9e0f", "creds": "-----BEGIN NATS USER JWT-----\n…",
			"delivery_id": "0197d5a0-2a3b-7c4d-8e5f-6a7b8c9d0e1f", "detail": "an event of this type is not known here",
			"durable": "partner-0197d5a0-3a4b-7c5d-8e6f-7a8b9c0d1e2f-QWE", "event_id": "0197d5a0-6a7b-7c8d-9e0f-a1b2c3d4e5f6",
			"event_types": "pcnfunding.payments.v1.PaymentApproved", "grant_commissioner_code": "", "grant_id": "0197d5a0-4a5b-7c6d-8e7f-8a9b0c1d2e3f",
			"handled_event_ids": "0197d5a0-6a7b-7c8d-9e0f-a1b2c3d4e5f6", "issued_by": "b.finance@qwe.example", "name": "ICS data platform",
			"partner_id": "0197d5a0-3a4b-7c5d-8e6f-7a8b9c0d1e2f", "proposed_by": "b.finance@qwe.example",
			"public_key": "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4", "reason": "agreed with the partner", "replaced_by": "",
			"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "source": "/pcnfunding/payments", "stream": "PCNFUNDING_PAYMENTS",
			"subject": "platform@ics.example", "type": "pcnfunding.payments.v1.PaymentApproved", "url": "https://events.ics.example/pcn-funding",
			"webhook_id": "0197d5a0-5a6b-7c7d-8e8f-9a0b1c2d3e4f",
		},
		"pcnfunding.payments.v1": {
			"accounting_date": "2022-04-06", "commissioner_code": "16C", "effective_date": "2022-07-01", "effective_to": "2022-04-30",
			"event_id":  "0197d5a0-6a7b-7c8d-9e0f-a1b2c3d4e5f6",
			"export_id": "16C-2022-04-1-payables-invoices", "file_name": "confirmations-2022-04.csv", "from_commissioner_code": "16C",
			"hold_id":   "hold-0197d5a0-2b3c-7d4e-8f50-617283940a1b",
			"import_id": "imp-0197d5a0-8c9d-7e0f-9a1b-2c3d4e5f6a7b", "line_id": "core-cd47096c6725dc5a5b27873c435ea5fa",
			"payee_code": "U89141", "payment_id": "16C-2022-04-1-U89141", "pay_on": "", "pcn_code": "U89141", "period": "2022-04",
			"run_id": "16C-2022-04-1", "source": "16C-2022-04-1", "to_commissioner_code": "QHM", "move_id": "0197d5a0-4e5f-7061-8728-3940a1b2c3d4",
			"to_commissioner_name": "NHS North East and North Cumbria Integrated Care Board",
		},
	}
	ownNumbers = map[protoreflect.FullName]map[string]int64{
		// £866,094.31 for the year, of which £15,000 was given up and £12,000 of that awarded.
		"pcnfunding.arrs.v1": {
			"amount_pence": 1500000, "asked_pence": 1200000, "allocation_pence": 86609431, "available_pence": 1500000, "awarded_pence": 1200000,
			"forecast_pence": 85109431, "given_up_pence": 1500000, "left_pence": 300000, "usable_pence": 85109431, "open_bids": 1,
		},
		// £143,120 for two networks in equal parts after a tenth for leadership: £64,404 each.
		"pcnfunding.devfund.v1": {
			"allocation_pence": 14312000, "amount_pence": 6440400, "amounts_pence": 6440400, "all_pence": 7156000, "available_pence": 14312000,
			"average_pence": 3455123, "committed_pence": 12880800, "forecast_pence": 12880800, "leadership_pence": 345512, "paid_pence": 12880800,
			"planned_pence": 12880800, "planned_lines_pence": 0, "pool_pence": 14312000, "range_from_pence": 300000, "range_to_pence": 400000,
			"received_pence": 14312000, "released_pence": 14312000, "scheduled_pence": 12880800, "shared_pence": 14312000, "shared_pool_pence": 12880800,
			"spent_pence": 9660600, "spent_to_date_pence": 4830300, "unspent_pence": 3220200, "treated_pence": 0, "plans": 1, "quarter": 3, "score": 2,
			"version": 1, "receivers": 2, "depth": 0, "practices": 6374, "lines": 2,
		},
		"pcnfunding.activity.v1": {
			"attendances": 12, "costed_pence": 194255, "notional_cost_pence": 194255, "uncosted_attendances": 0, "given_pence": 194255, "registered_list": 9120, "last_year": 11,
			"change": 1, "hidden_up_to": 7, "number": 1, "version": 1, "rows": 1, "row_count": 1, "rows_differing": 1, "unknown_practice": 0, "states": 1,
		},
		"pcnfunding.partners.v1": {"overlap_hours": 24, "attempts": 1, "number": 1, "events": 12, "waiting": 0},
		"pcnfunding.payments.v1": {"instalment_pence": 15000, "largest": 10},
		"pcnfunding.register.v1": {"year": 2022, "days_late": 0, "number": 1},
	}
)

func textOf(f protoreflect.FieldDescriptor) (string, bool) {
	if text, ok := ownTexts[f.ParentFile().Package()][string(f.Name())]; ok {
		return text, true
	}
	text, ok := texts[string(f.Name())]
	return text, ok
}

func numberOf(f protoreflect.FieldDescriptor) int64 {
	if n, ok := ownNumbers[f.ParentFile().Package()][string(f.Name())]; ok {
		return n
	}
	return numbers[string(f.Name())]
}

//go:embed examples.json
var examplesJSON []byte

// whole are examples that only make sense as a whole: JSON of a message or, after a slash, of one field of it. Under the name of a
// call stand the fields of its answer that differ from the example of the message. What stands here as an empty value or null
// stays empty.
var whole = sync.OnceValues(func() (map[string]json.RawMessage, error) {
	var out map[string]json.RawMessage
	if err := json.Unmarshal(examplesJSON, &out); err != nil {
		return nil, fmt.Errorf("read examples.json: %w", err)
	}
	return out, nil
})

// skippedInQuery are the query fields whose example stays empty: filters and tokens that most calls leave out.
var skippedInQuery = []string{"page_token", "known_at"}

// exampleJSON returns an example of a message as JSON, without the fields named.
func exampleJSON(m protoreflect.MessageDescriptor, without []string) (any, error) {
	message, err := exampleOf(m, 0)
	if err != nil {
		return nil, err
	}
	return inJSON(message, without)
}

// exampleAnswer returns an example of a call's answer as JSON.
func exampleAnswer(method protoreflect.MethodDescriptor) (any, error) {
	message, err := exampleOf(method.Output(), 0)
	if err != nil {
		return nil, err
	}
	stated, err := whole()
	if err != nil {
		return nil, err
	}
	if text, ok := stated[string(method.FullName())]; ok {
		part := message.ProtoReflect().New()
		if err := protojson.Unmarshal(text, part.Interface()); err != nil {
			return nil, fmt.Errorf("example of %s: %w", method.FullName(), err)
		}
		part.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			message.ProtoReflect().Set(f, v)
			return true
		})
	}
	return inJSON(message, nil)
}

func inJSON(message proto.Message, without []string) (any, error) {
	m := message.ProtoReflect().Descriptor()
	data, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("example of %s: %w", m.FullName(), err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("example of %s: %w", m.FullName(), err)
	}
	for _, name := range without {
		delete(out, name)
	}
	return inOrder(out, m), nil
}

// inOrder puts the members of a decoded message into the order of the contract.
func inOrder(in map[string]any, m protoreflect.MessageDescriptor) object {
	out := object{}
	fields := m.Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		v, ok := in[string(f.Name())]
		if !ok {
			continue
		}
		if f.Message() != nil && !f.IsMap() && f.Message().FullName() != timestampName {
			v = orderedValue(v, f.Message())
		}
		out = append(out, member{string(f.Name()), v})
	}
	return out
}

func orderedValue(v any, m protoreflect.MessageDescriptor) any {
	switch v := v.(type) {
	case map[string]any:
		return inOrder(v, m)
	case []any:
		for i := range v {
			v[i] = orderedValue(v[i], m)
		}
		return v
	}
	return v
}

// exampleOf returns a message filled in by the names of its fields.
func exampleOf(m protoreflect.MessageDescriptor, depth int) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(m.FullName())
	if err != nil {
		return nil, fmt.Errorf("example of %s: %w", m.FullName(), err)
	}
	message := kind.New()
	stated, err := whole()
	if err != nil {
		return nil, err
	}
	if text, ok := stated[string(m.FullName())]; ok {
		if err := protojson.Unmarshal(text, message.Interface()); err != nil {
			return nil, fmt.Errorf("example of %s: %w", m.FullName(), err)
		}
		return message.Interface(), nil
	}
	if depth > 8 {
		return nil, fmt.Errorf("example of %s: nested too deeply", m.FullName())
	}
	fields := m.Fields()
	for i := range fields.Len() {
		if err := fill(message, fields.Get(i), depth); err != nil {
			return nil, err
		}
	}
	return message.Interface(), nil
}

func fill(message protoreflect.Message, f protoreflect.FieldDescriptor, depth int) error {
	full := string(f.ContainingMessage().FullName()) + "/" + string(f.Name())
	stated, err := whole()
	if err != nil {
		return err
	}
	if text, ok := stated[full]; ok {
		patch := fmt.Sprintf("{%q: %s}", f.Name(), text)
		part := message.New()
		if err := protojson.Unmarshal([]byte(patch), part.Interface()); err != nil {
			return fmt.Errorf("example of %s: %w", full, err)
		}
		proto.Merge(message.Interface(), part.Interface())
		return nil
	}
	switch {
	case f.IsMap():
		return nil // a map's keys carry meaning: where one is wanted it is stated as a whole
	case f.IsList():
		v, err := exampleValue(f, depth)
		if err != nil || !v.IsValid() {
			return err
		}
		message.Mutable(f).List().Append(v)
		return nil
	}
	v, err := exampleValue(f, depth)
	if err != nil {
		return err
	}
	if v.IsValid() {
		message.Set(f, v)
	}
	return nil
}

// exampleValue returns one value for a field; an invalid value leaves it empty.
func exampleValue(f protoreflect.FieldDescriptor, depth int) (protoreflect.Value, error) {
	name := string(f.Name())
	switch f.Kind() {
	case protoreflect.StringKind:
		text, ok := textOf(f)
		if !ok && !f.IsList() {
			return protoreflect.Value{}, fmt.Errorf("no example for the text %s", f.FullName())
		}
		if text == "" {
			return protoreflect.Value{}, nil
		}
		return protoreflect.ValueOfString(text), nil
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(numberOf(f)), nil
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(numberOf(f))), nil //nolint:gosec // the tables of this file hold small numbers
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(name == "participating" || name == "coding_satisfied" || name == "observed"), nil
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(exampleEnum(f.Enum())), nil
	case protoreflect.MessageKind:
		if f.Message().FullName() == timestampName {
			if strings.HasPrefix(name, "released") {
				return protoreflect.Value{}, nil
			}
			return protoreflect.ValueOfMessage(timestamppb.New(exampleMoment).ProtoReflect()), nil
		}
		inner, err := exampleOf(f.Message(), depth+1)
		if err != nil {
			return protoreflect.Value{}, err
		}
		return protoreflect.ValueOfMessage(inner.ProtoReflect()), nil
	default:
		return protoreflect.Value{}, fmt.Errorf("no example for %s of kind %s", f.FullName(), f.Kind())
	}
}

func exampleEnum(e protoreflect.EnumDescriptor) protoreflect.EnumNumber {
	if name, ok := choices[e.FullName()]; ok {
		return e.Values().ByName(protoreflect.Name(name)).Number()
	}
	return e.Values().Get(min(1, e.Values().Len()-1)).Number()
}

// queryExample returns the example of a path or query parameter.
func queryExample(f protoreflect.FieldDescriptor) any {
	name := string(f.Name())
	if slices.Contains(skippedInQuery, name) {
		if f.Message() != nil {
			return exampleMoment.Format(time.RFC3339)
		}
		return ""
	}
	switch f.Kind() {
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return numberOf(f)
	case protoreflect.BoolKind:
		return false
	case protoreflect.EnumKind:
		return string(f.Enum().Values().ByNumber(exampleEnum(f.Enum())).Name())
	case protoreflect.MessageKind:
		return exampleMoment.Format(time.RFC3339)
	default:
		text, _ := textOf(f)
		return text
	}
}

// files are examples of the files that calls take and give, by the name of the call and the media type.
var files = map[protoreflect.FullName]map[string]string{
	"pcnfunding.register.v1.RegisterService.Import": {
		"text/csv": "PUBLICATION,EXTRACT_DATE,PRACTICE_CODE,PRACTICE_NAME,ONS_CCG_CODE,CCG_CODE,CCG_NAME,STP_CODE,STP_NAME,PCN_CODE,PCN_NAME\n" +
			"GP_PRAC_PAT_LIST,01APR2022,L83001,EXAMPLE SURGERY,E38000230,15N,NHS DEVON CCG,QJK,DEVON,U12345,EXAMPLE PCN\n",
	},
	"pcnfunding.register.v1.RegisterService.DownloadRequirementStatuses": {
		"text/csv": "on_date,financial_year,commissioner_code,pcn_code,pcn_name,requirement_id,requirement,phase,due_date,due_basis,other_due_date,state," +
			"recorded_state,planned_date,met_date,days_late,payment_hold_allowed,evidence_type,evidence_reference,missing,source,confidence\r\n" +
			"2022-04-01,2022/23,15N,U12345,Example PCN,2022-23-enhanced-access-plan,Enhanced access,Plan submitted to commissioner by this date," +
			"2022-07-31,DUE_STATED,,PLANNED,PLANNED,2022-07-15,,0,false,,,,Pulse; GPonline July 2022 [S28],secondary\r\n",
	},
	"pcnfunding.core.v1.CoreService.DownloadSchedule": {
		"text/csv": "schedule_id,commissioner_code,month,sequence,line_id,for_month,payment_code,pcn_code,pcn_name,practice_code,payee_code," +
			"payee_name,location_code,funding_source,instruction,amount_gbp,adjusts_line_id,adjustment_cause,confidence,holds\r\n" +
			"core-15N-2022-04-1,15N,2022-04,1,core-7f0c2b9a41d85e6390b1c2d3e4f50617,2022-04,CORE_PCN,U12345,Example PCN,,L83001," +
			"Example Surgery,15N,PCN DES,PAY,6538.75,,UNSPECIFIED,official,\r\n",
	},
	"pcnfunding.arrs.v1.ArrsService.ImportWorkforce": {
		"text/csv": "Data_source,CENSUS_YEAR,CENSUS_MONTH,PCN_CODE,PCN_NAME,SUB_ICB_CODE,SUB_ICB_NAME,ICB_CODE,ICB_NAME,COMM_REGION_CODE," +
			"COMM_REGION_NAME,STAFF_GROUP,STAFF_ROLE,DETAILED_STAFF_ROLE,FTE,UNIQUE_IDENTIFIER\r\n" +
			"NWRS Staff,2022,9,U12345,EXAMPLE PCN,15N,NHS Devon ICB - 15N,QJK,NHS Devon ICB,Y58,South West,Other Direct Patient Care staff," +
			"Pharmacists,Pharmacist,0.986666667,3182\r\n",
	},
	"pcnfunding.arrs.v1.ArrsService.DownloadCollation": {
		"text/csv": "planned_in,group,group_code,financial_year,role_code,role_name,intention,pcns,wte_in_post,wte_april,wte_may,wte_june,wte_july," +
			"wte_august,wte_september,wte_october,wte_november,wte_december,wte_january,wte_february,wte_march,estimated_cost_gbp\r\n" +
			"2022/23,COMMISSIONER,15N,2022/23,CP,Clinical pharmacist,FIRM,31,74.5,74.5,75,75,76,76,76,78,78,78,80,80,80,4486200.00\r\n",
	},
	"pcnfunding.arrs.v1.ArrsService.DownloadSchedule": {
		"text/csv": "schedule_id,commissioner_code,month,sequence,line_id,for_month,payment_code,pcn_code,pcn_name,practice_code,payee_code," +
			"payee_name,location_code,funding_source,instruction,amount_gbp,adjusts_line_id,adjustment_cause,confidence,holds\r\n" +
			"arrs-QJK-2022-10-1,QJK,2022-10,1,arrs-7f0c2b9a41d85e6390b1c2d3e4f50617,2022-10,ARRS_MAIN,U12345,Example PCN,,L83001," +
			"Example Surgery,15N,ARRS,PAY,4942.67,,UNSPECIFIED,secondary,\r\n",
	},
	"pcnfunding.arrs.v1.ArrsService.ImportClaims": {
		"text/csv": "pcn_code,month,label,salary,employer_ni,employer_pension\r\nU12345,2022-10,CP 1,3930.00,520.00,810.00\r\n",
	},
	"pcnfunding.iif.v1.IifService.ImportCounts": {
		"text/csv": "QUALITY_SERVICE,NAME,ORG_CODE,ACH_DATE,IND_CODE,FIELD_NAME,VALUE,DEFAULT_VALUES_USED,SUBMIT_USER_ID,SUBMIT_DATE," +
			"SUBMIT_TIME,LAST_SUBMISSION\r\n" +
			"NCD2324,EXAMPLE SURGERY,L83001,20240331,NCD120,Denominator,250,None,GPES,12/04/2024,03:15:00,Y\r\n",
	},
	"pcnfunding.devfund.v1.DevfundService.ImportNeedWeights": {
		"text/csv": "Practice_Code,GP_Practice_Name,pop 2022/23,Health Ineq WP,Primary Medical Care WP,Final PMC WP\n" +
			"L83001,Example Surgery,8012.44,7912.36,8137.294,8103.5539\n",
	},
	"pcnfunding.devfund.v1.DevfundService.DownloadSystemReturn": {
		"text/csv": "financial_year,quarter,through_month,fund_code,row,commissioner_code,level,domain,allocation_gbp,committed_gbp,paid_gbp," +
			"spent_gbp,forecast_gbp,unspent_gbp,lines,lines_unreported\r\n" +
			"2019-20,3,2019-12,PCN_DEV,LINES,15N,PCN,COLLABORATIVE_WORKING,,128808.00,128808.00,96606.00,128808.00,32202.00,2,0\r\n",
	},
	"pcnfunding.devfund.v1.DevfundService.DownloadSchedule": {
		"text/csv": "schedule_id,commissioner_code,month,sequence,line_id,for_month,payment_code,pcn_code,pcn_name,practice_code,payee_code," +
			"payee_name,location_code,funding_source,instruction,amount_gbp,adjusts_line_id,adjustment_cause,confidence,holds\r\n" +
			"devfund-15N-2019-12-1,15N,2019-12,1,devfund-7f0c2b9a41d85e6390b1c2d3e4f50617,2019-12,PCN_DEVELOPMENT,U12345,Example PCN,,L83001," +
			"Example Surgery,15N,PCN_DEVELOPMENT,PAY,64404.00,,UNSPECIFIED,official,\r\n",
	},
	"pcnfunding.iif.v1.IifService.DownloadSchedule": {
		"text/csv": "schedule_id,commissioner_code,month,sequence,line_id,for_month,payment_code,pcn_code,pcn_name,practice_code,payee_code," +
			"payee_name,location_code,funding_source,instruction,amount_gbp,adjusts_line_id,adjustment_cause,confidence,holds\r\n" +
			"iif-QJK-2024-06-1,QJK,2024-06,1,iif-7f0c2b9a41d85e6390b1c2d3e4f50617,2024-03,IIF,U12345,Example PCN,,L83001," +
			"Example Surgery,15N,IIF,PAY,3564.00,,UNSPECIFIED,inferred,\r\n",
	},
	"pcnfunding.activity.v1.ActivityService.ImportAttendances": {
		"text/csv": "provider_code,site_code,arrival_month,department_type,attendance_category,practice_code,hrg_code,attendances\r\n" +
			"RH8,RH801,2020-11,01,first,L83001,VB05Z,12\r\n",
	},
	"pcnfunding.activity.v1.ActivityService.DownloadReport": {
		"text/csv": activityRows,
	},
	"pcnfunding.activity.v1.ActivityService.DownloadPcnReport": {
		"text/csv": activityRows,
	},
	"pcnfunding.payments.v1.PaymentsService.Import": {
		"text/csv": "reference,status,payment_date,amount,payment_reference,reject_reason\r\n" +
			"16C-2022-04-1-U89141,PAID,2022-04-29,16407.21,BACS-20220429-0142,\r\n",
	},
	"pcnfunding.payments.v1.PaymentsService.DownloadRunLines": {
		"text/csv": "run_id,line_id,schedule_id,fund,for_month,payment_code,pcn_code,pcn_name,practice_code,payee_code,payee_name,funding_source," +
			"amount_gbp,adjusts_line_id,adjustment_cause,basis,state,holds\r\n" +
			"16C-2022-04-1,core-cd47096c6725dc5a5b27873c435ea5fa,core-16C-2022-04-1,core,2022-04,CORE_PCN,U89141,Stockton PCN,,U89141," +
			"Stockton PCN,PCN DES,6695.00,,UNSPECIFIED,\"£1.50 × 53,560 registered patients ÷ 12\",OPEN,\r\n",
	},
	"pcnfunding.payments.v1.PaymentsService.DownloadExport": {
		"text/csv": "Batch Name,Period,Accounting Date,Category,Source,Currency,Entity,Cost Centre,Subjective,Analysis 1,Analysis 2,Spare,Debit," +
			"Credit,Line Description,Reference,Reversal\r\n" +
			"16C-2022-04-1,APR-22,2022-04-30,PCN,SAMPLE,GBP,SAM,SAMPLE,SAMPLE01,00000,000000,000000,6695.00,,CORE_PCN 2022-04 U89141," +
			"16C-2022-04-1-U89141,N\r\n" +
			"16C-2022-04-1,APR-22,2022-04-30,PCN,SAMPLE,GBP,SAM,SAMPLE,SAMPLE08,00000,000000,000000,,6695.00,Payables 16C-2022-04-1-U89141," +
			"16C-2022-04-1-U89141,N\r\n",
		"application/xml": `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
			`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"><CstmrCdtTrfInitn>…</CstmrCdtTrfInitn></Document>`,
	},
	"pcnfunding.payments.v1.PaymentsService.DownloadTransparencyList": {
		"text/csv": "Department Family,Entity,Date,Expense Type,Expense Area,Supplier,Transaction Number,Amount\r\n" +
			"Department of Health and Social Care,NHS Tees Valley CCG,2022-04-29,CORE_PCN,core,Example PCN,16C-2022-04-2-U12345,13000.00\r\n" +
			"Department of Health and Social Care,NHS Tees Valley CCG,2022-04-29,EXTENDED_HOURS,core,Example PCN,16C-2022-04-2-U12345,12480.00\r\n",
	},
	"pcnfunding.payments.v1.PaymentsService.DownloadStatement": {"application/pdf": "%PDF-1.7 …"},
	"pcnfunding.payments.v1.PaymentsService.DownloadStatementCsv": {
		"text/csv": "section,item,statement_number,commissioner_code,pcn_code,payee_code,run_month,for_month,date,reference,line_id,payment_code," +
			"payment_name,practice_code,fund,funding_source,state,confidence,rate_gbp,rate_per,quantity,quantity_unit,instalments,convention,clause," +
			"source,adjusts_line_id,cause,hold_codes,reason,remedy,text,amount_gbp\r\n" +
			"payment,line,16C-U89141-2022-04,16C,U89141,A81017,2022-04,2022-04,,,core-cd47096c6725dc5a5b27873c435ea5fa,CORE_PCN,Core PCN funding,," +
			"core,PRIMARY_MEDICAL_ALLOCATION,settled,official,,,,,12,PCN_ANNUAL,,,,,,,,,6695.00\r\n",
	},
}

// fileTypes returns the media types in which a call gives its file, in order.
func fileTypes(r route.Route) ([]string, error) {
	out := slices.Sorted(maps.Keys(files[r.Method.FullName()]))
	if len(out) == 0 {
		return nil, fmt.Errorf("no example for the file of %s", r.Method.FullName())
	}
	return out, nil
}

// fileExample returns an example of the file that a call takes or gives.
func fileExample(r route.Route, media string) (string, error) {
	text, ok := files[r.Method.FullName()][media]
	if !ok {
		return "", fmt.Errorf("no example for the file of %s as %s", r.Method.FullName(), media)
	}
	return text, nil
}

// activityRows are the first rows of a report of attendances.
const activityRows = "report_id,month,pcn_code,pcn_name,practice_code,department_type,attendance_category,hrg_code,attendances,notional_cost_pence," +
	"cost_basis,missing_for_cost,registered_list,rate_per_1000,same_month_last_year,led_elsewhere,hidden,cut,cut_kind,generated_at,price_list," +
	"price_version,factor_version\r\n" +
	"activity-15N-2020-11-1,2020-11,U12345,Example PCN,L83001,01,FIRST,VB05Z,12,194255,TARIFF,,9120,1.32,11,no,no,1,FIRST,2020-12-15T09:00:00Z," +
	"tariff-2020-21,4f53cda18c2b,4f53cda18c2b\r\n"
