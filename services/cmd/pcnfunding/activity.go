package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

type activityCommand struct {
	Import     activityImportCommand     `cmd:"" help:"Take in files of A&E attendances, which are aggregates by practice."`
	Report     activityReportCommand     `cmd:"" help:"Build the report of a month, or preview it, and show it by PCN."`
	Publish    activityPublishCommand    `cmd:"" help:"Give every PCN its own rows of the newest version."`
	Deliveries activityDeliveriesCommand `cmd:"" help:"Tell which PCNs have got the report of a month, which are late, and which are missing."`
}

type activityImportCommand struct {
	client       `embed:""`
	Files        []string `arg:"" help:"CSV files, plain or gzip." type:"existingfile"`
	Cut          string   `help:"first or final." required:"" enum:"first,final"`
	Extracted    string   `help:"Day the data were extracted, YYYY-MM-DD." required:""`
	Source       string   `help:"Where the files come from." required:""`
	Commissioner string   `help:"Commissioner whose attendances they hold; without one, the column commissioner_code says."`
	Supersede    string   `help:"Let a first cut follow a final one, or an older extract a newer one, and why." placeholder:"REASON"`
}

// Run takes the files in and says which cuts they made.
func (c *activityImportCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_OPERATOR, func(suite clients) error {
		for _, path := range c.Files {
			err := importAttendancesFile(ctx, suite.activity, path, &activityv1.AttendancesHeader{
				RequestId: newRequestID(), CommissionerCode: c.Commissioner, Cut: activityv1.CutKind(activityv1.CutKind_value[strings.ToUpper(c.Cut)+"_CUT"]),
				FileName: filepath.Base(path), Source: c.Source, ExtractDate: c.Extracted, SupersedeFinal: c.Supersede != "", Reason: c.Supersede,
			})
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		return nil
	})
}

func importAttendancesFile(ctx context.Context, activity activityv1.ActivityServiceClient, path string, header *activityv1.AttendancesHeader) (err error) {
	file, err := os.Open(path) //nolint:gosec // the file is the one the operator names
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	answer, err := sendAttendances(ctx, activity, header, file)
	if err != nil {
		return err
	}
	return tellAttendances(os.Stdout, answer)
}

func tellAttendances(w io.Writer, answer *activityv1.ImportAttendancesResponse) error {
	taken, state := answer.GetAttendancesImport(), "taken in"
	if answer.GetAlreadyImported() {
		state = "taken in before, nothing changed"
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s; %s rows with %s attendances, import %s\n", taken.GetFileName(), state, lower(taken.GetCut().String()), count(taken.GetRows()),
		count(taken.GetAttendances()), taken.GetImportId())
	for _, note := range answer.GetNotes() {
		_, _ = fmt.Fprintln(w, "  note:", note)
	}
	for _, cut := range taken.GetCuts() {
		_, _ = fmt.Fprintf(w, "  %s %s: cut %d, %s attendances, %s of practices not known\n", cut.GetCommissionerCode(), cut.GetMonth(), cut.GetNumber(),
			count(cut.GetAttendances()), count(cut.GetUnknownPractice()))
	}
	return err
}

type activityReportCommand struct {
	client       `embed:""`
	Commissioner string `arg:"" help:"Commissioner that pays for the attendances."`
	Month        string `arg:"" help:"Month of arrival, YYYY-MM."`
	Preview      bool   `help:"Show what would be built, and keep nothing."`
}

// Run builds or previews the report.
func (c *activityReportCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) error {
		if c.Preview {
			r, err := suite.activity.PreviewReport(ctx, &activityv1.PreviewReportRequest{CommissionerCode: c.Commissioner, Month: c.Month})
			if err != nil {
				return err
			}
			return tellReport(os.Stdout, r)
		}
		r, err := suite.activity.BuildReport(ctx, &activityv1.BuildReportRequest{RequestId: newRequestID(), CommissionerCode: c.Commissioner, Month: c.Month})
		if err != nil {
			return err
		}
		return tellReport(os.Stdout, r)
	})
}

// tellReport prints a version by PCN.
func tellReport(out io.Writer, r *activityv1.Report) error {
	state := ""
	if r.GetUnchanged() {
		state = ", as it was"
	}
	_, _ = fmt.Fprintf(out, "%s: %s of %s (%s), version %d%s, from cut %d, %s, of %s\n", r.GetReportId(), r.GetMonth(), r.GetCommissionerCode(), r.GetCommissionerName(),
		r.GetVersion(), state, r.GetCut().GetNumber(), lower(r.GetCut().GetKind().String()), r.GetCut().GetSource())
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "attendances\tper 1,000\ta year before\tnotional cost\tattendances without cost\t  PCN\t")
	for _, p := range r.GetPcns() {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t  %s %s\t\n", count(p.GetTotals().GetAttendances()), p.GetRatePer_1000(), optionalCount(p.LastYear),
			notionalCost(p.GetTotals()), withoutCost(p.GetTotals()), p.GetPcnCode(), p.GetPcnName())
	}
	t := r.GetTotals()
	_, _ = fmt.Fprintf(w, "%s\t\t\t%s\t%s\t  all\t\n", count(t.GetAttendances()), notionalCost(t), withoutCost(t))
	if err := w.Flush(); err != nil {
		return err
	}
	for _, note := range r.GetNotes() {
		_, _ = fmt.Fprintln(out, "  "+note)
	}
	const shown = 5
	for i, m := range r.GetMissing() {
		if i == shown {
			_, _ = fmt.Fprintf(out, "  and %d more are missing\n", len(r.GetMissing())-shown)
			break
		}
		_, _ = fmt.Fprintf(out, "  missing for %s: %s (%s); %s\n", count(m.GetAttendances()), m.GetMissing(), m.GetReason(), m.GetRemedy())
	}
	for _, cause := range r.GetRestatement().GetCauses() {
		_, _ = fmt.Fprintln(out, "  restated by", cause)
	}
	return nil
}

// notionalCost writes a cost: that of a part as such, and one that nothing is known of not as nothing.
func notionalCost(t *activityv1.AttendanceTotals) string {
	switch uncosted := t.GetUncostedAttendances(); {
	case uncosted == 0:
		return money.Pence(t.GetCostedPence()).String()
	case uncosted == t.GetAttendances():
		return "not known"
	default:
		return money.Pence(t.GetCostedPence()).String() + " in part"
	}
}

// withoutCost writes how many attendances of all that there are have no cost.
func withoutCost(t *activityv1.AttendanceTotals) string {
	if t.GetUncostedAttendances() == 0 {
		return "none"
	}
	return count(t.GetUncostedAttendances()) + " of " + count(t.GetAttendances())
}

func optionalCount(n *int64) string {
	if n == nil {
		return "–"
	}
	return count(*n)
}

type activityPublishCommand struct {
	client       `embed:""`
	Commissioner string `arg:"" help:"Commissioner that pays for the attendances."`
	Report       string `arg:"" help:"Version, as report showed it; it must be the newest."`
}

// Run publishes the version.
func (c *activityPublishCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_FINANCE_APPROVER, func(suite clients) error {
		r, err := suite.activity.GetReport(ctx, &activityv1.GetReportRequest{ReportId: c.Report})
		if err != nil {
			return err
		}
		out, err := suite.activity.PublishReport(ctx, &activityv1.PublishReportRequest{
			RequestId: newRequestID(), CommissionerCode: c.Commissioner, Month: r.GetMonth(), ReportId: c.Report,
		})
		if err != nil {
			return err
		}
		if out.GetAlreadyPublished() {
			fmt.Println("every PCN had it")
			return nil
		}
		fmt.Printf("published %s to %d PCNs: %s\n", out.GetReportId(), len(out.GetPcnCodes()), strings.Join(out.GetPcnCodes(), " "))
		return nil
	})
}

type activityDeliveriesCommand struct {
	client       `embed:""`
	Commissioner string `arg:"" help:"Commissioner."`
	Month        string `arg:"" help:"Month of arrival, YYYY-MM."`
	State        string `help:"Only those in this state: due, published, delivered, late or missing." enum:",due,published,delivered,late,missing" default:""`
}

// Run prints the deliveries as a table.
func (c *activityDeliveriesCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "PCN\tstate\tversion\tdue\tpublished\tdelivered\tto")
		req := &activityv1.ListDeliveriesRequest{
			CommissionerCode: c.Commissioner, Month: c.Month, State: activityv1.PublicationState(activityv1.PublicationState_value[strings.ToUpper(c.State)]), PageSize: samplePage,
		}
		for {
			answer, err := suite.activity.ListDeliveries(ctx, req)
			if err != nil {
				return err
			}
			for _, d := range answer.GetDeliveries() {
				tellDelivery(w, d)
			}
			if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
				return w.Flush()
			}
		}
	})
}

func tellDelivery(w io.Writer, d *activityv1.Delivery) {
	due, published, delivered, to := d.GetDueOn(), "", "", ""
	if due == "" {
		due = lower(d.GetDueUnknown().GetReason())
	}
	if at := d.GetPublishedAt(); at != nil {
		published = at.AsTime().Format("2006-01-02 15:04")
	}
	if at := d.GetDeliveredAt(); at != nil {
		delivered = at.AsTime().Format("2006-01-02 15:04")
	}
	if len(d.GetReceipts()) > 0 && d.GetDeliveredAt() != nil {
		to = d.GetReceipts()[0].GetPerson()
	}
	state := lower(d.GetState().String())
	if d.GetLate() && d.GetState() != activityv1.PublicationState_LATE {
		state += ", late"
	}
	_, _ = fmt.Fprintf(w, "%s %s\t%s\t%d\t%s\t%s\t%s\t%s\n", d.GetPcnCode(), d.GetPcnName(), state, d.GetVersion(), due, published, delivered, to)
}
