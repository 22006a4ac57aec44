package apidoc

import (
	"google.golang.org/protobuf/reflect/protoreflect"
)

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
