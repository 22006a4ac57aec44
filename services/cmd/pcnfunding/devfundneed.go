package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

type devfundNeedCommand struct {
	Import   devfundNeedImportCommand   `cmd:"" help:"Take in published practice weights of a year."`
	Check    devfundNeedCheckCommand    `cmd:"" help:"Hold the weights against the identity of unmet need; fails where it does not hold."`
	Forecast devfundNeedForecastCommand `cmd:"" help:"Forecast adjusted populations of a commissioner's PCNs."`
}

type devfundNeedImportCommand struct {
	client `embed:""`
	Year   string `arg:"" help:"Financial year, YYYY-YY."`
	File   string `arg:"" help:"CSV file, plain or gzip." type:"existingfile"`
	Source string `help:"Where the file comes from." default:"NHS England, GP practice weighted populations"`
}

// Run takes the file in.
func (c *devfundNeedImportCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_OPERATOR, func(suite clients) (err error) {
		file, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		taken, err := sendNeedWeights(ctx, suite.devfund, &devfundv1.ImportNeedWeightsHeader{
			RequestId: newRequestID(), FinancialYear: c.Year, FileName: filepath.Base(c.File), Source: c.Source,
		}, file)
		if err != nil {
			return err
		}
		_, err = fmt.Printf("%s: weights of %s practices for %s, %d rows skipped; import %s\n", taken.GetFileName(), count(int64(taken.GetPractices())), taken.GetFinancialYear(),
			len(taken.GetSkipped()), taken.GetImportId())
		return err
	})
}

// sendNeedWeights sends a file of weights in pieces.
func sendNeedWeights(ctx context.Context, devfund devfundv1.DevfundServiceClient, header *devfundv1.ImportNeedWeightsHeader, content io.Reader) (*devfundv1.NeedImport, error) {
	stream, err := devfund.ImportNeedWeights(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&devfundv1.ImportNeedWeightsRequest{Part: &devfundv1.ImportNeedWeightsRequest_Header{Header: header}})
	if err == nil {
		err = inPieces(content, func(piece []byte) error {
			return stream.Send(&devfundv1.ImportNeedWeightsRequest{Part: &devfundv1.ImportNeedWeightsRequest_Chunk{Chunk: piece}})
		})
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.CloseAndRecv() // it tells the cause where the server ended the upload early
}

type devfundNeedCheckCommand struct {
	client `embed:""`
	Year   string `arg:"" help:"Financial year, YYYY-YY."`
}

// Run prints what the identity comes to.
func (c *devfundNeedCheckCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		check, err := suite.devfund.CheckNeedWeights(ctx, &devfundv1.CheckNeedWeightsRequest{FinancialYear: c.Year})
		if err != nil {
			return err
		}
		tellNeedCheck(os.Stdout, check)
		if !check.GetPassed() {
			return fmt.Errorf("%d of %d practices are beyond the tolerance, or the sums differ", check.GetFailing(), check.GetPractices())
		}
		return nil
	})
}

func tellNeedCheck(out io.Writer, c *devfundv1.NeedCheck) {
	_, _ = fmt.Fprintf(out, "final weight = %s × primary medical care + %s × health inequality, within %s of a patient: %s of %s practices\n", c.GetPrimaryShare(), c.GetInequalityShare(),
		c.GetTolerance(), count(int64(c.GetPractices()-c.GetFailing())), count(int64(c.GetPractices())))
	_, _ = fmt.Fprintf(out, "largest gap: %s in %s; weights sum to %s, the population is %s\n", c.GetLargest().GetGap(), c.GetLargest().GetPracticeCode(), shortly(c.GetFinalWeighted()),
		shortly(c.GetPopulation()))
	for _, gap := range c.GetGaps() {
		_, _ = fmt.Fprintf(out, "  %s: published %s, expected %s\n", gap.GetPracticeCode(), gap.GetPublished(), gap.GetExpected())
	}
}

type devfundNeedForecastCommand struct {
	client       `embed:""`
	Year         string `arg:"" help:"Financial year, YYYY-YY."`
	Commissioner string `help:"Only this commissioner's PCNs; without one, those of England."`
	ListDate     string `help:"Day of the lists, YYYY-MM-DD; without one, 1 January before the year."`
}

// Run prints the forecast.
func (c *devfundNeedForecastCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		forecast, err := suite.devfund.ForecastNeed(ctx, &devfundv1.ForecastNeedRequest{FinancialYear: c.Year, CommissionerCode: c.Commissioner, ListDate: c.ListDate})
		if err != nil {
			return err
		}
		return tellForecast(os.Stdout, forecast)
	})
}

func tellForecast(out io.Writer, f *devfundv1.NeedForecast) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "pcn\tlist\tforecast\tpublished\tdifference\t")
	for _, r := range f.GetRows() {
		difference := r.GetDifferencePercent()
		if difference != "" {
			difference += "%"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t  %s\n", r.GetPcnCode(), r.GetRegistered(), r.GetForecast(), r.GetPublished(), difference, r.GetPcnName())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s on lists of %s, %s forecast; a forecast never pays anything\n", shortly(f.GetRegistered()), f.GetListDate(), shortly(f.GetForecast()))
	return err
}
