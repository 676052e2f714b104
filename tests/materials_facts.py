"""Facts that the sample items of ChemBench and Matbench are made of; `make_samples_materials.py` computes the rest.

`test_sample_facts.py` holds boiling points, enthalpies, lattice constants, moduli, gaps and glasses against measured data
that packages ship. Each table names its source; what no package has (optical phonons, refractive indices, interlayer
binding, gaps of PBE, alloys, the enthalpies of perovskites from their oxides) rests on the work named there.
"""

COMPOUNDS = [
    ("ethanol", "CCO", "C2H6O", "a primary alcohol with two carbon atoms"),
    ("acetone", "CC(C)=O", "C3H6O", "the simplest ketone"),
    ("acetic acid", "CC(=O)O", "C2H4O2", "the carboxylic acid with two carbon atoms"),
    ("benzene", "c1ccccc1", "C6H6", "an unsubstituted aromatic ring of six carbon atoms"),
    ("toluene", "Cc1ccccc1", "C7H8", "a benzene ring with one methyl group"),
    ("phenol", "Oc1ccccc1", "C6H6O", "a benzene ring with one hydroxy group"),
    ("aniline", "Nc1ccccc1", "C6H7N", "a benzene ring with one amino group"),
    ("pyridine", "c1ccncc1", "C5H5N", "an aromatic six-membered ring with one nitrogen atom"),
    ("diethyl ether", "CCOCC", "C4H10O", "the symmetrical ether of two ethyl groups"),
    ("acetonitrile", "CC#N", "C2H3N", "the nitrile with two carbon atoms"),
    ("chloroform", "ClC(Cl)Cl", "CHCl3", "methane with three hydrogen atoms replaced by chlorine"),
    ("cyclohexane", "C1CCCCC1", "C6H12", "a saturated ring of six carbon atoms"),
    ("glycine", "NCC(=O)O", "C2H5NO2", "the amino acid that has no stereocentre"),
    ("urea", "NC(N)=O", "CH4N2O", "the diamide of carbonic acid"),
    ("naphthalene", "c1ccc2ccccc2c1", "C10H8", "two fused benzene rings"),
    ("thiophene", "c1ccsc1", "C4H4S", "an aromatic five-membered ring with one sulfur atom"),
]
"""Name, SMILES, formula, description."""

REACTIONS = [
    ("heating acetic acid with ethanol and a trace of acid", "CCOC(C)=O", "C2H4O2 + C2H6O = C4H8O2 + H2O"),
    ("heating acetic acid with methanol and a trace of acid", "COC(C)=O", "C2H4O2 + CH4O = C3H6O2 + H2O"),
    ("treating aniline with acetyl chloride and a base", "CC(=O)Nc1ccccc1", "C6H7N + C2H3OCl = C8H9NO + HCl"),
    (
        "treating benzoyl chloride with methanol and a base",
        "COC(=O)c1ccccc1",
        "C7H5OCl + CH4O = C8H8O2 + HCl",
    ),
    (
        "treating benzene with one equivalent of bromine and iron(III) bromide",
        "Brc1ccccc1",
        "C6H6 + Br2 = C6H5Br + HBr",
    ),
    (
        "mono-nitration of benzene with nitric and sulfuric acid",
        "O=[N+]([O-])c1ccccc1",
        "C6H6 + HNO3 = C6H5NO2 + H2O",
    ),
    ("hydrogenation of nitrobenzene over palladium", "Nc1ccccc1", "C6H5NO2 + H6 = C6H7N + H4O2"),
    ("hydrogenation of cyclohexene over palladium", "C1CCCCC1", "C6H10 + H2 = C6H12"),
    ("adding bromine to ethene", "BrCCBr", "C2H4 + Br2 = C2H4Br2"),
    ("reducing acetone with sodium borohydride", "CC(C)O", "C3H6O + H2 = C3H8O"),
    ("reducing benzaldehyde with sodium borohydride", "OCc1ccccc1", "C7H6O + H2 = C7H8O"),
    ("treating phenol with iodomethane and potassium carbonate", "COc1ccccc1", "C6H6O + CH3I = C7H8O + HI"),
    ("oxidising ethanol with an excess of acidic dichromate", "CC(=O)O", "C2H6O + O2 = C2H4O2 + H2O"),
    ("treating cyclohexanone with hydroxylamine", "ON=C1CCCCC1", "C6H10O + NH3O = C6H11NO + H2O"),
]
"""What is done, the main product, the balanced equation (hydrogen and oxygen stand for reductant and oxidant)."""

BOILING = [
    ("diethyl ether", 34.6), ("acetone", 56.1), ("methanol", 64.7), ("hexane", 68.7), ("ethanol", 78.3),
    ("cyclohexane", 80.7), ("water", 100.0), ("toluene", 110.6), ("pyridine", 115.2), ("acetic acid", 117.9),
    ("chlorobenzene", 131.7), ("dichloromethane", 39.6), ("dimethylformamide", 153.0), ("dimethyl sulfoxide", 189.0),
]  # fmt: skip
"""Solvent, boiling point in °C at 1 atm (CRC Handbook, Common Chemistry)."""

ALLOYS = [
    ("304", {"Cr": 18.5, "Ni": 9.0, "Mn": 1.5, "Si": 0.5, "C": 0.05}, 205),
    ("316", {"Cr": 17.0, "Ni": 12.0, "Mo": 2.5, "Mn": 1.5, "Si": 0.5, "C": 0.05}, 205),
    ("430", {"Cr": 17.0, "Mn": 0.5, "Si": 0.5, "C": 0.06}, 205),
    ("A36", {"C": 0.25, "Mn": 1.0, "Si": 0.25}, 250),
    ("1045 hot rolled", {"C": 0.45, "Mn": 0.75, "Si": 0.2}, 310),
    ("2205 duplex", {"Cr": 22.0, "Ni": 5.5, "Mo": 3.0, "Mn": 1.5, "N": 0.16, "C": 0.02}, 450),
    ("4140 annealed", {"C": 0.4, "Cr": 1.0, "Mo": 0.2, "Mn": 0.9, "Si": 0.25}, 417),
    ("4340 annealed", {"C": 0.4, "Ni": 1.8, "Cr": 0.8, "Mo": 0.25, "Mn": 0.7, "Si": 0.25}, 470),
    ("HY-80", {"Ni": 2.6, "Cr": 1.4, "Mo": 0.4, "Mn": 0.25, "Si": 0.25, "C": 0.14}, 552),
    ("HY-100", {"Ni": 2.9, "Cr": 1.4, "Mo": 0.4, "Mn": 0.25, "Si": 0.25, "C": 0.16}, 690),
    ("17-4PH H900", {"Cr": 16.5, "Ni": 4.0, "Cu": 4.0, "Nb": 0.3, "Mn": 0.5, "Si": 0.5, "C": 0.04}, 1170),
    ("maraging 200", {"Ni": 18.0, "Co": 8.5, "Mo": 3.3, "Ti": 0.2, "Al": 0.1, "C": 0.01}, 1400),
    ("maraging 250", {"Ni": 18.0, "Co": 7.8, "Mo": 4.9, "Ti": 0.4, "Al": 0.1, "C": 0.01}, 1700),
    ("maraging 300", {"Ni": 18.5, "Co": 9.0, "Mo": 4.8, "Ti": 0.6, "Al": 0.1, "C": 0.01}, 2000),
    ("maraging 350", {"Ni": 18.0, "Co": 12.0, "Mo": 4.8, "Ti": 1.4, "Al": 0.1, "C": 0.01}, 2400),
]
"""Name, nominal weight percentages (the rest is iron), nominal yield strength in MPa, after the standards of these grades."""

GAPS = [
    ("Si", 1.12), ("Cu", 0.0), ("Ge", 0.66), ("GaAs", 1.42), ("Al", 0.0), ("InP", 1.34), ("GaP", 2.26), ("ZnO", 3.37),
    ("W", 0.0), ("CdS", 2.42), ("CdTe", 1.5), ("GaN", 3.4), ("InSb", 0.17), ("PbS", 0.41), ("C", 5.47), ("NaCl", 8.5),
]  # fmt: skip
"""Formula, band gap in eV at room temperature (Madelung, Semiconductors: Data Handbook)."""

METALS = ["Cu", "Al", "W", "Ag", "Au", "Ni", "Fe", "Mo"]

GLASSES = [
    "Pd40Ni40P20", "Zr65Al7.5Cu17.5Ni10", "Zr41.2Ti13.8Cu12.5Ni10Be22.5", "Pd43Ni10Cu27P20", "Mg65Cu25Y10",
    "La55Al25Ni20", "Au75Si25", "Fe40Ni40P14B6", "Fe80B20", "Cu50Zr50",
]  # fmt: skip
NO_GLASSES = ["Al", "Cu", "Ag", "Ni", "Pb", "Zn"]
"""Pure metals, which crystallise at any quench that alloys are given."""

SIMPLE: dict[str, tuple[str, float]] = {
    "Cu": ("fcc", 3.615), "Al": ("fcc", 4.050), "Ag": ("fcc", 4.086), "Au": ("fcc", 4.078), "Ni": ("fcc", 3.524),
    "Fe": ("bcc", 2.867), "W": ("bcc", 3.165), "Mo": ("bcc", 3.147), "Si": ("diamond", 5.431),
    "Ge": ("diamond", 5.658), "C": ("diamond", 3.567),
}  # fmt: skip
"""Element -> structure and lattice constant in Å."""

DIATOMIC: dict[str, tuple[str, float]] = {
    "NaCl": ("rocksalt", 5.640), "KCl": ("rocksalt", 6.293), "LiF": ("rocksalt", 4.026), "NaF": ("rocksalt", 4.634),
    "KBr": ("rocksalt", 6.600), "MgO": ("rocksalt", 4.212), "CaO": ("rocksalt", 4.811), "AgCl": ("rocksalt", 5.549),
    "CsCl": ("caesium chloride", 4.123), "ZnS": ("zincblende", 5.409), "GaAs": ("zincblende", 5.653),
    "GaP": ("zincblende", 5.451), "InP": ("zincblende", 5.869), "BN": ("zincblende", 3.615), "SiC": ("zincblende", 4.360),
    "AlP": ("zincblende", 5.464), "AlAs": ("zincblende", 5.661), "AlSb": ("zincblende", 6.136),
    "InAs": ("zincblende", 6.058), "CaF2": ("fluorite", 5.463),
}  # fmt: skip

PBE_GAPS = [
    ("Cu", 0.0), ("Si", 0.6), ("Al", 0.0), ("C", 4.1), ("Ag", 0.0), ("NaCl", 5.0), ("Au", 0.0), ("Ni", 0.0),
    ("Fe", 0.0), ("W", 0.0), ("Mo", 0.0), ("BN", 4.5),
]  # fmt: skip
"""Formula, gap in eV that the PBE functional gives, to a tenth (Materials Project)."""

FORMATION = [
    ("Cu", 0.0), ("NaCl", -411.2), ("KCl", -436.5), ("MgO", -601.6), ("CaO", -634.9), ("LiF", -616.0), ("NaF", -576.6),
    ("Al", 0.0), ("KBr", -393.8), ("AgCl", -127.0), ("CsCl", -443.0), ("ZnS", -206.0), ("CaF2", -1228.0), ("Si", 0.0),
]  # fmt: skip
"""Formula, standard enthalpy of formation in kJ/mol (CRC Handbook)."""

ELASTIC = [
    ("Cu", (168.4, 121.4, 75.4)), ("Al", (107.3, 60.9, 28.3)), ("Ag", (124.0, 93.4, 46.1)), ("Au", (192.9, 163.8, 41.5)),
    ("Ni", (248.1, 154.9, 124.2)), ("Fe", (231.4, 134.7, 116.4)), ("W", (522.4, 204.4, 160.8)),
    ("Mo", (463.7, 157.8, 109.2)), ("Si", (165.6, 63.9, 79.5)), ("Ge", (128.5, 48.3, 66.8)), ("C", (1076.0, 125.0, 576.0)),
    ("NaCl", (48.7, 12.4, 12.6)), ("MgO", (297.0, 95.2, 155.7)), ("LiF", (111.2, 42.0, 62.8)),
]  # fmt: skip
"""Formula, elastic constants C11, C12, C44 in GPa (Simmons and Wang 1971; CRC Handbook)."""

INDICES = [
    ("C", 2.417), ("NaCl", 1.544), ("KCl", 1.490), ("KBr", 1.559), ("LiF", 1.392), ("NaF", 1.326), ("MgO", 1.737),
    ("CaF2", 1.434), ("ZnS", 2.368), ("AgCl", 2.071), ("CaO", 1.838), ("CsCl", 1.642), ("Si", 3.42), ("Ge", 4.0),
]  # fmt: skip
"""Formula, refractive index: sodium light, infrared for Si and Ge (CRC Handbook, index of inorganic crystals)."""

PHONONS = [
    ("C", 1332), ("Si", 520), ("Ge", 301), ("BN", 1305), ("SiC", 972), ("GaAs", 292), ("GaP", 403), ("InP", 345),
    ("ZnS", 350), ("AlP", 501), ("AlAs", 404), ("AlSb", 340), ("InAs", 240),
]  # fmt: skip
"""Formula, highest zone-centre optical phonon in 1/cm, where the density of states ends (Madelung, as above)."""

BINDING = [
    ("C", "graphite", 2.461, 6.708, 18.32), ("BN", "h-BN", 2.504, 6.661, 14.49), ("MoS2", "2H", 3.160, 12.294, 20.53),
    ("MoSe2", "2H", 3.289, 12.927, 19.63), ("MoTe2", "2H", 3.518, 13.974, 20.80), ("WS2", "2H", 3.153, 12.323, 20.24),
    ("WSe2", "2H", 3.282, 12.960, 19.98), ("TiS2", "1T", 3.407, 5.695, 18.88), ("TiSe2", "1T", 3.540, 6.008, 17.39),
    ("HfS2", "1T", 3.630, 5.850, 16.13), ("HfSe2", "1T", 3.750, 6.160, 17.09), ("ZrS2", "1T", 3.660, 5.830, 16.98),
    ("ZrSe2", "1T", 3.770, 6.130, 18.53),
]  # fmt: skip
"""Formula, type, lattice constants in Å, interlayer binding in meV/Å² by RPA (Björkman et al. 2012, PRL 108, 235502)."""

PEROVSKITES = [
    ("CaTiO3", 3.84, (-634.9, -944.0, -80.9)), ("SrTiO3", 3.905, (-592.0, -944.0, -136.4)),
    ("BaTiO3", 4.00, (-548.0, -944.0, -162.0)), ("PbTiO3", 3.97, (-217.3, -944.0, -31.1)),
    ("CaZrO3", 4.02, (-634.9, -1100.6, -31.3)), ("SrZrO3", 4.10, (-592.0, -1100.6, -75.9)),
    ("BaZrO3", 4.19, (-548.0, -1100.6, -115.1)), ("LaAlO3", 3.79, (-896.9, -837.9, -69.6)),
    ("LaGaO3", 3.89, (-896.9, -544.6, -52.4)), ("LaFeO3", 3.93, (-896.9, -412.1, -64.6)),
    ("NaNbO3", 3.94, (-207.1, -949.8, -157.4)), ("KNbO3", 4.02, (-180.8, -949.8, -208.0)),
    ("NaTaO3", 3.93, (-207.1, -1023.0, -147.7)), ("KTaO3", 3.99, (-180.8, -1023.0, -203.6)),
]  # fmt: skip
"""Formula, pseudo-cubic lattice constant in Å, enthalpies in kJ/mol of the two oxides and of the reaction.

The oxides after the CRC Handbook; the reactions after Navrotsky and co-workers: LaAlO3, LaGaO3 (J. Mater. Res. 18, 2501,
2003), LaFeO3 (J. Mater. Res. 20, 191, 2005), titanates and zirconates (calorimetry reviewed there), niobates and tantalates
(Pozdnyakova et al. 2002).
"""
