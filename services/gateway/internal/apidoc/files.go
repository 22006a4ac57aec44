package apidoc

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pcnfunding/pcnfunding/services/gateway/internal/route"
)

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
