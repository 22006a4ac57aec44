package activity

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/api/httpbody"

	"github.com/pcnfunding/pcnfunding/pkg/spreadsheet"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
)

// csvColumns are those of a report's rows.
var csvColumns = []string{
	"report_id", "month", "pcn_code", "pcn_name", "practice_code", "department_type", "attendance_category", "hrg_code", "attendances", "notional_cost_pence",
	"cost_basis", "missing_for_cost", "registered_list", "rate_per_1000", "same_month_last_year", "led_elsewhere", "hidden", "cut", "cut_kind", "generated_at",
	"price_list", "price_version", "factor_version",
}

// writeCSV writes rows of a report (RFC 4180, UTF-8). A cell that a spreadsheet would take for a formula is made text.
func writeCSV(report *activityv1.Report, rows []*activityv1.ReportRow) (string, error) {
	var text strings.Builder
	w := csv.NewWriter(&text)
	w.UseCRLF = true
	_ = w.Write(csvColumns)
	generated := ""
	if at := report.GetGeneratedAt(); at != nil {
		generated = at.AsTime().UTC().Format(time.RFC3339)
	}
	for _, row := range rows {
		var bases, missing []string
		for _, b := range row.GetBases() {
			bases = append(bases, b.String())
		}
		for _, m := range row.GetMissing() {
			missing = append(missing, m.GetMissing())
		}
		_ = w.Write(spreadsheet.Cells(
			report.GetReportId(), row.GetMonth(), row.GetPcnCode(), row.GetPcnName(), row.GetPracticeCode(), rules.Department(row.GetDepartmentType()).String(),
			rules.Category(row.GetCategory()).String(), row.GetHrgCode(), number(row.GetTotals().Attendances), number(row.GetTotals().NotionalCostPence),
			strings.Join(bases, " "), strings.Join(missing, "; "), number(row.RegisteredList), row.GetRatePer_1000(), number(row.LastYear), yesNo(row.GetLedElsewhere()),
			yesNo(row.GetHidden()), strconv.Itoa(int(report.GetCut().GetNumber())), strings.TrimSuffix(report.GetCut().GetKind().String(), "_CUT"), generated,
			report.GetPriceList(), report.GetPriceVersion(), report.GetFactorVersion(),
		))
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return "", fmt.Errorf("write CSV of %s: %w", report.GetReportId(), err)
	}
	return text.String(), nil
}

func number(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func csvBody(text string) *httpbody.HttpBody {
	return &httpbody.HttpBody{ContentType: "text/csv; charset=utf-8; header=present", Data: []byte(text)}
}
