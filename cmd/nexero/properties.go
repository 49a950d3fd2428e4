package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/postgres"
)

func newProperties(env []string) *cobra.Command {
	command := &cobra.Command{Use: "properties", Short: "Say in which time zone properties lie and where their floor plans begin"}
	command.AddCommand(newPropertiesList(env), newPropertiesSet(env))
	return command
}

func newPropertiesList(env []string) *cobra.Command {
	list := &cobra.Command{
		Use:   "list",
		Short: "List the properties that were described",
		Long: `List the properties that were described with set. A property that was not is
counted in UTC and from the origin of the Unreal world.`,
		Args: cobra.NoArgs,
	}
	tenant := list.Flags().String("tenant", "", "list the properties of this tenant only")
	return operate(list, env, func(cmd *cobra.Command, o operator, _ []string) error {
		return o.withStore(cmd.Context(), func(store *postgres.Store) error {
			rows, err := store.Properties(cmd.Context())
			if err != nil {
				return err
			}
			if *tenant != "" {
				rows = slices.DeleteFunc(rows, func(r postgres.PropertyRow) bool { return r.Tenant != *tenant })
			}
			return printProperties(cmd.OutOrStdout(), rows)
		})
	})
}

func printProperties(w io.Writer, rows []postgres.PropertyRow) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	// A tabwriter reports its errors when it is flushed.
	_, _ = fmt.Fprintln(table, "TENANT\tPROPERTY\tTIME ZONE\tORIGIN X\tORIGIN Y\tCHANGED\tNAME")
	for _, p := range rows {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%g\t%g\t%s\t%s\n",
			p.Tenant, p.ID, p.TimeZone, p.OriginX, p.OriginY, p.ChangedAt.UTC().Format(time.DateTime), cmp.Or(p.Name, "-"))
	}
	return table.Flush()
}

func newPropertiesSet(env []string) *cobra.Command {
	set := &cobra.Command{
		Use:   "set PROPERTY",
		Short: "Describe a property, or change how it is described",
		Long: `Say in which time zone a property lies and where its floor plan begins. What is not
given stays as it is. Its days and its heat maps are counted anew from what is
stored, within seconds, by a running worker.`,
		Args: cobra.ExactArgs(1),
	}
	f := set.Flags()
	tenant := f.String("tenant", "", "tenant that the property belongs to (required)")
	var to postgres.Property
	f.StringVar(&to.Name, "name", "", "what to call it")
	f.StringVar(&to.TimeZone, "time-zone", "", "IANA name of the zone in which its days begin, such as Europe/Berlin")
	f.Float32Var(&to.OriginX, "origin-x", 0, "where its floor plan begins, in centimetres of the Unreal world")
	f.Float32Var(&to.OriginY, "origin-y", 0, "the same, to the right")
	return operate(set, env, func(cmd *cobra.Command, o operator, args []string) error {
		if *tenant == "" {
			return &exitError{code: exitUsage, err: fmt.Errorf("--tenant says whose property %s is", args[0])}
		}
		return o.withStore(cmd.Context(), func(store *postgres.Store) error {
			rows, err := store.Properties(cmd.Context())
			if err != nil {
				return err
			}
			// Two operators who change one property at once: the later one holds, for
			// what the earlier one set too.
			property := postgres.Property{ID: args[0]}
			for _, row := range rows {
				if row.Tenant == *tenant && row.ID == args[0] {
					property = row.Property
				}
			}
			for name, change := range map[string]func(){
				"name":      func() { property.Name = to.Name },
				"time-zone": func() { property.TimeZone = to.TimeZone },
				"origin-x":  func() { property.OriginX = to.OriginX },
				"origin-y":  func() { property.OriginY = to.OriginY },
			} {
				if cmd.Flags().Changed(name) {
					change()
				}
			}
			sessions, err := store.SetProperty(cmd.Context(), *tenant, property)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: time zone %s, origin %g, %g; %d sessions will be counted anew\n",
				property.ID, cmp.Or(property.TimeZone, "UTC"), property.OriginX, property.OriginY, sessions)
			return err
		})
	})
}
