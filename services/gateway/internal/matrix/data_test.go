package matrix

import (
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

const (
	preparer = optionsv1.Role_ROLE_FINANCE_PREPARER
	approver = optionsv1.Role_ROLE_FINANCE_APPROVER
	manager  = optionsv1.Role_ROLE_PCN_MANAGER
	operator = optionsv1.Role_ROLE_OPERATOR
	auditor  = optionsv1.Role_ROLE_AUDITOR
)

// partnerOf proposes the partner whose tokens an integration's are, for its first grant.
const partnerOf = `"contact_email":"matrix@example.org","subject":"local.integration","event_types":["pcnfunding.core.v1.*"]`

// script finds a thing of each kind, and makes those that the sample has none of.
var script = []step{
	{auditor, "core.GetPcnMonth", `{"pcn_code":"U89141","month":"2022-04"}`, map[string]string{"line_id": "lines.0.line_id"}},
	{preparer, "core.WithholdPayment", `{"commissioner_code":"16C","pcn_code":"U89141","payment_code":"NPP","from_month":"2022-05","reason":"matrix"}`, nil},
	{preparer, "core.RecordDeclaration", `{"commissioner_code":"QHM","pcn_code":"U89141","payment_code":"CAIP","month":"2023-10","evidence":"matrix"}`, nil},
	{approver, "core.SetSetting", `{"commissioner_code":"16C","name":"CONVENTION","payment_code":"CORE_PCN","value":"PCN_MONTHLY_RATE","from_month":"2022-06","reason":"matrix"}`, nil},

	{auditor, "arrs.ListClaims", `{"pcn_code":"U13205"}`, map[string]string{"claim_id": "claims.0.claim_id"}},
	{auditor, "arrs.ListEngagements", `{"pcn_code":"U13205"}`, map[string]string{"engagement_id": "engagements.0.engagement_id", "label": "engagements.0.label"}},
	{auditor, "arrs.GetSchedule", `{"schedule_id":"arrs-QOC-2022-10-1"}`, map[string]string{"arrs.line_id": "lines.0.line_id"}},
	{
		manager, "arrs.SubmitPlan", `{"pcn_code":"U13205","planned_in":"2022-23","lines":[{"financial_year":"2022-23","role_code":"CP","intention":1,
			"wte_in_post":"1","planned_wte":["1","1","1","1"]}]}`, map[string]string{"plan_id": "plan_id"},
	},
	{
		manager, "arrs.PlaceBid", `{"pcn_code":"U13205","financial_year":"2022-23","pot":"MAIN","asked_pence":"100","purpose":"matrix"}`,
		map[string]string{"bid_id": "bid_id"},
	},
	{
		preparer, "arrs.EstimateUnclaimed", `{"commissioner_code":"QOC","pcn_code":"U13205","financial_year":"2022-23","pot":"MAIN","amount_pence":"100"}`,
		map[string]string{"unclaimed_id": "unclaimed_id"},
	},
	{approver, "arrs.SetSetting", `{"commissioner_code":"QOC","name":"ROUNDING","value":"DOWN","from_month":"2023-06","reason":"matrix"}`, nil},

	{auditor, "devfund.ListAllocations", `{"commissioner_code":"36L","holder_code":"U00070"}`, map[string]string{"pcn_allocation": "allocations.0.allocation_id"}},
	{auditor, "devfund.ListPlans", `{"commissioner_code":"36L"}`, map[string]string{"devfund.plan_id": "plans.0.plan_id"}},
	{auditor, "devfund.GetPlan", `{"plan_id":"{devfund.plan_id}"}`, map[string]string{"plan_line_id": "covered_pcns.0"}},
	{auditor, "devfund.GetSchedule", `{"schedule_id":"devfund-36L-2022-05-1"}`, map[string]string{"schedule_line": "lines.pcn_code=U00070.line_id"}},
	{auditor, "devfund.ListSharingDecisions", `{"commissioner_code":"36L"}`, map[string]string{"decision_id": "decisions.0.decision_id"}},
	{
		preparer, "devfund.RecordInterest",
		`{"commissioner_code":"36L","person":"matrix","pcn_code":"U00070","nature":"matrix","from_date":"2022-04-01"}`, nil,
	},
	{preparer, "devfund.ReportSpend", `{"plan_id":"{devfund.plan_id}","line_id":"{plan_line_id}","month":"2022-05","forecast_pence":"1"}`, nil},

	{auditor, "iif.GetAchievement", `{"pcn_code":"U89141","financial_year":"2023-24"}`, map[string]string{"result_id": "result.result_id"}},
	{manager, "iif.Nominate", `{"pcn_code":"U89141","person":"matrix"}`, map[string]string{"nomination_id": "nomination_id"}},
	{preparer, "iif.CloseMonth", `{"commissioner_code":"QHM","month":"2024-08"}`, nil},

	{auditor, "payments.ListPayments", `{"run_id":"16C-2022-04-1"}`, map[string]string{"payment_id": "payments.0.payment_id", "payee": "payments.0.payee.code"}},
	{preparer, "payments.PlaceHold", `{"commissioner_code":"16C","payee_code":"{payee}","reason":"matrix"}`, map[string]string{"hold_id": "hold_id"}},
	{
		preparer, "payments.ProposeMove", `{"from_commissioner_code":"16C","to_commissioner_code":"QHM","reason":"matrix"}`,
		map[string]string{"move_id": "move_id"},
	},

	{
		manager, "register.AddCalendarItem",
		`{"title":"matrix","owner_level":"PCN_LEVEL","owner_code":"U89141","due_date":"2022-06-01","source":"matrix","confidence":1}`,
		map[string]string{"item_id": "item_id"},
	},

	{
		approver, "partners.AddPartner", `{"name":"matrix","commissioner_code":"16C",` + partnerOf + `}`,
		map[string]string{"partner_id": "partner_id", "confirmed": "grants.0.grant_id"},
	},
	{operator, "partners.ConfirmGrant", `{"grant_id":"{confirmed}"}`, nil},
	{
		approver, "partners.IssueCredential", `{"partner_id":"{partner_id}","commissioner_code":"16C","expires_at":"{tomorrow}"}`,
		map[string]string{"credential_id": "credential.credential_id"},
	},
	{
		approver, "partners.AddWebhook",
		`{"partner_id":"{partner_id}","commissioner_code":"16C","url":"https://matrix.invalid/","event_types":["pcnfunding.core.v1.RateAdded"]}`,
		map[string]string{"webhook_id": "webhook.webhook_id"},
	},
	{
		approver, "partners.ProposeGrant", `{"partner_id":"{partner_id}","commissioner_code":"16C","event_types":["pcnfunding.arrs.v1.*"]}`,
		map[string]string{"grant_id": "grant_id"},
	},
}

// ofEngland makes what others see as well, but for what it has of the own bodies.
var ofEngland = []step{
	{
		operator, "partners.AddPartner", `{"name":"national","grant_commissioner_code":"QHM",` + partnerOf + `}`,
		map[string]string{"national": "partner_id"},
	},
}

// ofForeign makes what the foreign bodies see, so that their lists are not empty.
var ofForeign = []step{
	{approver, "partners.AddPartner", `{"name":"neighbour","commissioner_code":"00R","grant_commissioner_code":"00R",` + partnerOf + `}`, nil},
	{operator, "partners.ProposeGrant", `{"partner_id":"{national}","commissioner_code":"00R","event_types":["pcnfunding.core.v1.*"]}`, nil},
}

const (
	claimEntry = `"claim":{"pcn_code":"U13205","commissioner_code":"QOC","month":"2022-11","kind":1,"lines":[{"engagement_id":"{engagement_id}","salary_pence":"1"}]}`
	terms      = `"terms":{"role_code":"CP","per_week":"37.5","start_date":"2022-11-01"}`
)

// templates are what calls need beyond the vocabulary.
var templates = map[string]string{
	"activity.ImportAttendances":           `{"cut":2,"source":"matrix","extract_date":"2022-04-01"}`,
	"activity.AcknowledgeReport":           `{"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}`,
	"arrs.AgreePlan":                       `{"agreed_on":"2022-08-01"}`,
	"arrs.AmendClaim":                      `{` + claimEntry + `}`,
	"arrs.ChangeEngagement":                `{` + terms + `}`,
	"arrs.CheckClaim":                      `{` + claimEntry + `}`,
	"arrs.DownloadCollation":               `{"planned_in":"2022-23"}`,
	"arrs.GetCollation":                    `{"planned_in":"2022-23"}`,
	"arrs.PlaceBid":                        `{"pot":"MAIN","asked_pence":"100","purpose":"matrix"}`,
	"arrs.QueryClaim":                      `{"query":"matrix"}`,
	"arrs.RecordEngagement":                `{"label":"matrix",` + terms + `}`,
	"arrs.SubmitClaim":                     `{` + claimEntry + `}`,
	"arrs.SubmitPlan":                      `{"planned_in":"2022-23","lines":[{"financial_year":"2022-23","role_code":"CP","intention":1,"wte_in_post":"1"}]}`,
	"core.RecordDeclaration":               `{"commissioner_code":"QHM","payment_code":"CAIP","month":"2023-11","evidence":"matrix"}`,
	"devfund.AgreePlan":                    `{"version":1,"director":"matrix","agreed_on":"2022-04-22","evidence_reference":"matrix"}`,
	"devfund.AssessPcn":                    `{"service_improvement_priority":"matrix","assessed_on":"2022-04-22"}`,
	"devfund.CompareSharing":               `{"allocation_id":"{pcn_allocation}","methods":[{"kind":1}]}`,
	"devfund.DownloadSystemReturn":         `{"quarter":"1"}`,
	"devfund.GetSystemReturn":              `{"quarter":"1"}`,
	"devfund.ListSpendReports":             `{"line_id":"{plan_line_id}"}`,
	"devfund.ReportSpend":                  `{"line_id":"{plan_line_id}"}`,
	"devfund.GetAllocation":                `{"allocation_id":"{pcn_allocation}"}`,
	"devfund.GetAllocationTree":            `{"allocation_id":"{pcn_allocation}"}`,
	"devfund.GetLine":                      `{"line_id":"{schedule_line}"}`,
	"core.ListDeclarations":                `{"commissioner_code":"QHM"}`,
	"devfund.TraceLine":                    `{"line_id":"{plan_line_id}"}`,
	"iif.AnswerIndicator":                  `{"indicator_code":"ACC-08","answer":"YES"}`,
	"iif.CommitReinvestment":               `{"text":"matrix"}`,
	"iif.ImportCounts":                     `{"source":"matrix","layout":"CQRS_EXTRACT"}`,
	"iif.ListCounts":                       `{"organisation_code":"U89141"}`,
	"iif.Nominate":                         `{"person":"another"}`,
	"partners.AddPartner":                  `{"name":"matrix","contact_email":"matrix@example.org","event_types":["pcnfunding.core.v1.*"]}`,
	"partners.AddWebhook":                  `{"url":"https://matrix.invalid/","event_types":["pcnfunding.core.v1.*"]}`,
	"partners.IssueCredential":             `{"expires_at":"{tomorrow}"}`,
	"partners.ProposeGrant":                `{"event_types":["pcnfunding.core.v1.*"]}`,
	"partners.RedeliverEvents":             `{"since":"{yesterday}"}`,
	"partners.ReplayEvents":                `{"since":"{yesterday}"}`,
	"partners.RotateCredential":            `{"expires_at":"{tomorrow}"}`,
	"partners.SetWebhookState":             `{"state":2}`,
	"payments.ExportRun":                   `{"format":1}`,
	"payments.Import":                      `{"kind":1}`,
	"payments.ProposeMove":                 `{"from_commissioner_code":"16C","to_commissioner_code":"QHM"}`,
	"register.AddCalendarItem":             `{"title":"matrix","owner_level":"COMMISSIONER_LEVEL","owner_code":"16C","due_date":"2022-06-01","source":"matrix","confidence":1}`,
	"register.DownloadRequirementStatuses": `{"commissioner_code":"QHM","financial_year":"2022-23","on_date":"2022-09-01"}`,
	"register.ListRequirementStatuses":     `{"commissioner_code":"QHM","financial_year":"2022-23","on_date":"2022-09-01"}`,
	"register.GetPcnSnapshot":              `{"membership_date":"2022-04-01"}`,
	"register.RecordRequirementStep":       `{"kind":"WITHDRAW","reason":"matrix"}`,
	"register.SettleCalendarItem":          `{"state":1}`,
}

// askOfCommissioner are the calls that need a commissioner's code of a holder of PCNs too; others ask by PCN, for the commissioner
// as well would be another question.
var askOfCommissioner = []string{"activity.GetComparison"}

// files are what uploads send whose content names the body that it is for.
var files = map[string]string{
	"arrs.ImportClaims": "pcn_code,month,label,salary,employer_ni,employer_pension\nU13205,2022-11,matrix,1,0,0\n",
}

// exceptions are the calls whose things are not of one body alone, or not of every role's body.
var exceptions = map[string]struct {
	who  func(principal) bool
	want outcome
	why  string
}{
	"activity.GetComparison":               {ofNeighbour, admitted, "the PCNs of a commissioner see each other in the view that it shares with them"},
	"register.RecordRequirementStep":       {preparesForPCN, noRole, "a commissioner judges what a PCN delivers, and does not withdraw it"},
	"register.DownloadRequirementStatuses": {ofPCNOnly, hidden, "a PCN asks for its own by its code"},
	"register.ListRequirementStatuses":     {ofPCNOnly, hidden, "a PCN asks for its own by its code"},
	"register.AddCalendarItem":             {ofPCNOnly, hidden, "a PCN adds items of its own, not of its commissioner"},
}

func preparesForPCN(p principal) bool { return !ofPCN(p.role) && p.commissioner }

func ofPCNOnly(p principal) bool { return ofPCN(p.role) }

// ofNeighbour tells those who hold another PCN of the commissioner that is asked for.
func ofNeighbour(p principal) bool { return ofPCN(p.role) && !p.england }

// roleOnly are the calls of which only the roles are tried: what they show is England's, or the suite that has just loaded its sample holds
// no such thing of one body alone. The tests of the service try the bodies of these.
var roleOnly = map[string]string{
	"activity.GetImport":        "the sample's imports are England's",
	"activity.ListFigures":      "prices are England's, and shown to all",
	"activity.ListImports":      "the sample's imports are England's",
	"arrs.ListAwards":           "an award follows an agreed estimate and a bid",
	"arrs.ListDecisions":        "the sample decides for commissioners, not for one of their PCNs",
	"arrs.ListSystemPlans":      "the sample has no plan of a system",
	"devfund.ListExceptions":    "nothing of the sample's plan is out of order",
	"devfund.ListSettings":      "the sample's settings are England's",
	"devfund.ListTreatments":    "a treatment follows the end of a year",
	"iif.GetCorrection":         "a correction follows an approval, which needs the payment runs of the day",
	"iif.GetImport":             "the sample's imports are England's",
	"iif.GetLine":               "the sample approves no achievement, so that no schedule has a line",
	"iif.ListCorrections":       "a correction follows an approval, which needs the payment runs of the day",
	"iif.ListCounts":            "the sample's counts are those of practices",
	"iif.ListFigures":           "figures are England's, and shown to all",
	"iif.ListImports":           "the sample's imports are England's",
	"iif.ListSettings":          "the sample sets nothing",
	"partners.ListDeliveries":   "what a webhook is sent comes some time after the event",
	"payments.ListImportedRows": "the sample imports no confirmations",
	"payments.ListImports":      "the sample imports no confirmations",
	"payments.ListRecoveries":   "the sample recovers nothing",
	"register.GetRequirement":   "requirements are England's, and shown to all",
	"register.ListRequirements": "requirements are England's, and shown to all",
}
